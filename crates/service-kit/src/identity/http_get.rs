//! Fetches a small document over HTTP.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Request, StatusCode, Uri,
    header::{ACCEPT, CONNECTION, HOST},
};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::spawn_blocking,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tower::BoxError;

/// How long everything may take: the name, the connection, TLS, and the whole reply.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest document, in bytes.
const MAX_LEN: usize = 1 << 20;

/// Why a document could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("no reply within {} s", TIMEOUT.as_secs())]
    TimedOut,
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    #[error("TLS failed: {0}")]
    Tls(#[source] BoxError),
    #[error("HTTP failed: {0}")]
    Http(#[from] hyper::Error),
    #[error("it answers with status {0}, not 200; redirects are not followed")]
    Status(StatusCode),
    #[error("the document is longer than {MAX_LEN} bytes")]
    TooLong,
    #[error("the document is not text in UTF-8")]
    NotText,
    #[error("{0}")]
    Body(#[source] BoxError),
}

/// Fetches the document at an address, which has `http` or `https` and a host. Takes five seconds at most. Follows no
/// redirects. Cancel safe.
pub(super) async fn get(uri: &Uri) -> Result<String, FetchError> {
    timeout(TIMEOUT, connect_and_get(uri)).await.map_err(|_| FetchError::TimedOut)?
}

async fn connect_and_get(uri: &Uri) -> Result<String, FetchError> {
    let is_tls = uri.scheme_str() == Some("https");
    // Of an IPv6 address, without its brackets.
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await.map_err(FetchError::Connect)?;
    if !is_tls {
        return exchange(stream, uri).await;
    }
    let config = spawn_blocking(client_config).await.map_err(|error| FetchError::Tls(error.into()))?;
    let config = config.map_err(FetchError::Tls)?;
    let name = ServerName::try_from(host.to_owned()).map_err(|error| FetchError::Tls(error.into()))?;
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    exchange(connected.map_err(|error| FetchError::Tls(error.into()))?, uri).await
}

/// Trusts the system's certificate authorities, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`. Reads files.
fn client_config() -> Result<ClientConfig, BoxError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

async fn exchange<S>(stream: S, uri: &Uri) -> Result<String, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let reply = async {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = Uri::try_from(path).unwrap_or_default();
        let headers = request.headers_mut();
        if let Some(host) = uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok()) {
            headers.insert(HOST, host);
        }
        headers.insert(ACCEPT, HeaderValue::from_static("application/jwk-set+json, application/json"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let response = sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_LEN).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() { FetchError::TooLong } else { FetchError::Body(error) }
        })?;
        String::from_utf8(body.to_bytes().into()).map_err(|_| FetchError::NotText)
    };
    // The reply is there when the connection has done its work, or has failed.
    let connection = async {
        let failed = connection.await.err();
        match failed {
            Some(error) => error,
            // The reply is read to its end by what holds it.
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        reply = reply => reply,
        error = connection => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// Serves one reply, and returns what the request said and how fetching it ended.
    async fn fetch(reply: &'static str, body: usize) -> (String, Result<String, FetchError>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/keys?a=b", listener.local_addr().unwrap()).parse().unwrap();
        let served = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(reply.as_bytes()).await.unwrap();
            let _ = stream.write_all(&vec![b'x'; body]).await;
            String::from_utf8_lossy(&request[..length]).into_owned()
        };
        tokio::join!(served, get(&uri))
    }

    #[tokio::test]
    async fn a_document_is_fetched() {
        let (request, fetched) = fetch("HTTP/1.1 200 OK\r\n\r\n{}", 0).await;
        assert!(request.starts_with("GET /keys?a=b HTTP/1.1\r\nhost: 127.0.0.1:"), "{request}");
        assert_eq!(fetched.unwrap(), "{}");
    }

    #[tokio::test]
    async fn other_replies_are_errors() {
        for (reply, body, needed) in [
            ("HTTP/1.1 302 Found\r\nlocation: /x\r\n\r\n", 0, "status 302 Found, not 200"),
            ("HTTP/1.1 200 OK\r\n\r\n", MAX_LEN + 1, "longer than 1048576 bytes"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", 0, "error reading a body"),
            ("SSH-2.0-x\r\n", 0, "HTTP failed"),
            ("", 0, "HTTP failed"),
        ] {
            let error = fetch(reply, body).await.1.unwrap_err().to_string();
            assert!(error.contains(needed), "{error}");
        }
    }

    #[tokio::test]
    async fn who_does_not_answer_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::time::pause();
        let error = get(&format!("http://{address}/").parse().unwrap()).await.unwrap_err();
        assert_eq!(error.to_string(), "no reply within 5 s");
        drop(listener);
        let error = get(&format!("http://{address}/").parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, FetchError::Connect(_)), "{error}");
    }
}
