//! Clients that resume a session, for which they present no certificate again.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use e2e::{
    backends::NO_REQUEST_LINES,
    certificates::{Authority, Identity, Secret, spiffe_id},
    service::Service,
    wait::within,
};
use http::{Request, header::CONTENT_TYPE};
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{net::TcpStream, time::sleep};
use tokio_rustls::TlsConnector;

/// How long the certificate of a client is valid at least that expires during a test.
const VALID: Duration = Duration::from_secs(4);

/// A client that resumes sessions.
struct Client(TlsConnector);

/// A service that asks for client certificates, and its secret.
struct Server {
    service: Service,
    secret: Secret,
}

// === impl Client ===

impl Client {
    fn new(authority: &Authority, identity: &Identity) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
        let certificate = CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        let config = config.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
        let mut config = config.with_root_certificates(roots).with_client_auth_cert(vec![certificate], key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self(TlsConnector::from(Arc::new(config)))
    }

    /// Connects and asks for the health. Returns whether the session was resumed, and why the connection failed.
    async fn call(&self, server: &Server) -> (HandshakeKind, Result<(), String>) {
        let stream = TcpStream::connect(server.service.address()).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = self.0.connect(name, stream).await.unwrap();
        let kind = stream.get_ref().1.handshake_kind().unwrap();
        let outcome = async {
            let (mut client, connection) = h2::client::handshake(stream).await?;
            let connection = tokio::spawn(connection);
            let request = Request::post("https://localhost/grpc.health.v1.Health/Check");
            let request = request.header(CONTENT_TYPE, "application/grpc").header("te", "trailers").body(()).unwrap();
            let (reply, mut body) = client.send_request(request, false)?;
            // Where the server has closed the connection, its reply says so.
            let _ = body.send_data(Bytes::from_static(&[0; 5]), true);
            let mut reply = reply.await?.into_body();
            while let Some(data) = reply.data().await {
                data?;
            }
            drop((client, body));
            connection.abort();
            Ok(())
        };
        let outcome = within("a call or an error", outcome).await;
        (kind, outcome.map_err(|error: h2::Error| error.to_string()))
    }
}

// === impl Server ===

impl Server {
    fn start(authority: &Authority, clients: &Authority) -> Self {
        let secret = Secret::new(&authority.sign_service("country-service"), &clients.pem);
        let args = secret.mutual_args(&[&spiffe_id("gateway")]);
        let args: Vec<_> = args.iter().map(String::as_str).chain(["--delay", "0"]).chain(NO_REQUEST_LINES).collect();
        Self { service: Service::start("country-service", &args, "serving"), secret }
    }

    /// Waits for the warning that a connection was refused for this reason.
    async fn refused(&self, reason: &str) {
        let is_it = |line: &serde_json::Value| {
            line["level"] == "WARN" && line["reason"].as_str().is_some_and(|found| found.starts_with(reason))
        };
        self.service.log.wait_for(reason, is_it).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_does_not_outlive_the_clients_certificate() {
    let (authority, clients) = (Authority::new("fleet"), Authority::new("clients"));
    let server = Server::start(&authority, &clients);
    let expires = SystemTime::now() + VALID;
    let client = Client::new(&authority, &clients.sign_until(&[&spiffe_id("gateway")], expires));
    assert_eq!(client.call(&server).await, (HandshakeKind::Full, Ok(())));
    assert_eq!(client.call(&server).await, (HandshakeKind::Resumed, Ok(())));
    // Nothing but the clock says that a certificate has expired.
    sleep(expires.duration_since(SystemTime::now()).unwrap_or_default() + Duration::from_secs(1)).await;
    let (kind, outcome) = client.call(&server).await;
    assert_eq!(kind, HandshakeKind::Resumed);
    let error = outcome.unwrap_err();
    assert!(error.contains("the client's certificate is no longer valid"), "{error}");
    server.refused("its certificate expired ").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_does_not_outlive_the_clients_authority() {
    let (authority, clients) = (Authority::new("fleet"), Authority::new("clients"));
    let mut server = Server::start(&authority, &clients);
    let client = Client::new(&authority, &clients.sign(&[&spiffe_id("gateway")]));
    assert_eq!(client.call(&server).await, (HandshakeKind::Full, Ok(())));
    assert_eq!(client.call(&server).await, (HandshakeKind::Resumed, Ok(())));
    let others = Authority::new("other clients");
    server.secret.replace(&authority.sign_service("country-service"), &others.pem);
    server.service.hang_up();
    server.service.log.wait_for("new files", |line| line["message"] == "new certificates are in use").await;
    let (kind, outcome) = client.call(&server).await;
    assert_eq!(kind, HandshakeKind::Full, "sessions have gone with the files");
    assert!(outcome.is_err(), "the authority that signed its certificate is trusted no more");
    server.refused("its certificate is from an unknown authority").await;
}
