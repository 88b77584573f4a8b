//! The certificate of a connection as its caller's identity.

use e2e::{
    certificates::{Authority, Secret, spiffe_id},
    service::Service,
    wait::within,
};
use fanout_proto::gateway::v1::{GetProfileRequest, StreamUsersRequest, gateway_service_client::GatewayServiceClient};
use tonic::{
    Status,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::{
    edge::{Files, outcome, request},
    rates::{BURST, RATE_FLAGS, assert_limited},
};

const GET_PROFILE: &str = "fanout.gateway.v1.GatewayService/GetProfile";
const STREAM_USERS: &str = "fanout.gateway.v1.GatewayService/StreamUsers";

/// A gateway that takes the certificates of connections for identities. It has no backends: requests that are let in are
/// found invalid.
struct Edge {
    service: Service,
    authority: Authority,
    _secret: Secret,
}

/// A caller with a certificate.
struct Caller(GatewayServiceClient<Channel>);

// === impl Edge ===

impl Edge {
    fn start(flags: &[&str]) -> Self {
        let authority = Authority::new("fleet");
        let secret = Secret::new(&authority.sign_service("gateway"), &authority.pem);
        let tls = secret.mutual_args(&[]);
        let tls = tls.iter().map(String::as_str).chain(["--client-certificate-identity"]);
        let all: Vec<_> = tls.chain(flags.iter().copied()).collect();
        Self { service: Service::start("gateway", &all, "listening"), authority, _secret: secret }
    }

    /// Connects with a certificate for these names.
    async fn caller(&self, names: &[&str]) -> Caller {
        let own = self.authority.sign(names);
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.authority.pem))
            .identity(Identity::from_pem(own.cert, own.key));
        let endpoint = Endpoint::from_shared(format!("https://{}", self.service.address())).unwrap();
        let channel = within("a connection", endpoint.tls_config(tls).unwrap().connect()).await.unwrap();
        Caller(GatewayServiceClient::new(channel))
    }

    /// Waits for the audit log's line about this method, and returns its decision, reason and identity.
    async fn audited(&self, identity: &str, method: &str) -> [String; 2] {
        let is_it = |line: &serde_json::Value| {
            line["target"] == "audit" && line["identity"] == identity && line["method"] == method
        };
        let line = self.service.log.wait_for(&format!("{identity} calls {method}"), is_it).await;
        ["decision", "reason"].map(|field| line[field].as_str().unwrap_or_default().to_owned())
    }
}

// === impl Caller ===

impl Caller {
    async fn get_profile(&self, headers: &[(&'static str, &str)]) -> Status {
        self.0.clone().get_profile(request(GetProfileRequest::default(), headers)).await.unwrap_err()
    }

    async fn stream_users(&self) -> Status {
        self.0.clone().stream_users(StreamUsersRequest::default()).await.unwrap_err()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_calls_what_the_policy_allows_its_name() {
    let (files, reports) = (Files::new(), format!("certificate:{}", spiffe_id("reports")));
    let policy =
        files.write("policy", &format!("{reports} {GET_PROFILE}\ncertificate:web.example.org {STREAM_USERS}\n"));
    let edge = Edge::start(&["--policy", &policy]);
    // Of several names, the first URI counts, and the first host where there is none.
    let reports_caller = edge.caller(&["reports.example.org", &spiffe_id("reports")]).await;
    let web_caller = edge.caller(&["web.example.org", "www.example.org"]).await;
    assert_eq!(outcome(&reports_caller.get_profile(&[]).await), Ok(()));
    assert_eq!(outcome(&web_caller.stream_users().await), Ok(()));
    for (denied, identity, method) in [
        (reports_caller.stream_users().await, &*reports, STREAM_USERS),
        (web_caller.get_profile(&[]).await, "certificate:web.example.org", GET_PROFILE),
        (edge.caller(&["www.example.org"]).await.get_profile(&[]).await, "certificate:www.example.org", GET_PROFILE),
    ] {
        assert_eq!(outcome(&denied), Err("PermissionDenied METHOD_NOT_ALLOWED".to_owned()));
        assert_eq!(denied.message(), format!("{identity} may not call {method}"));
        assert_eq!(edge.audited(identity, method).await, ["deny", "METHOD_NOT_ALLOWED"]);
    }
    for (identity, method) in [(&*reports, GET_PROFILE), ("certificate:web.example.org", STREAM_USERS)] {
        assert_eq!(edge.audited(identity, method).await, ["allow", ""]);
    }
    // Credentials that are wrong do not become right by the certificate.
    let wrong = reports_caller.get_profile(&[("authorization", "Bearer fo_wrong")]).await;
    assert_eq!(outcome(&wrong), Err("Unauthenticated API_KEYS_NOT_ACCEPTED".to_owned()));
    assert_eq!(edge.audited("anonymous", GET_PROFILE).await, ["deny", "API_KEYS_NOT_ACCEPTED"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_certificate_has_a_rate_of_its_own() {
    let edge = Edge::start(&RATE_FLAGS);
    let first = edge.caller(&[&spiffe_id("first")]).await;
    let second = edge.caller(&[&spiffe_id("second")]).await;
    assert_limited("identity", async || first.get_profile(&[]).await).await;
    for _ in 0..BURST {
        assert_eq!(outcome(&second.get_profile(&[]).await), Ok(()), "of the same address");
    }
}
