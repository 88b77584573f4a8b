//! Metrics to whoever asks, as Prometheus does: `GET /metrics` on a port of its own.

use std::{
    convert::Infallible,
    net::{SocketAddr, TcpListener as StdListener, ToSocketAddrs as _},
    time::Duration,
};

use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use opentelemetry_prometheus::PrometheusExporter;
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet, spawn_blocking},
    time::{sleep, timeout},
};

use super::{super::TelemetryError, PrometheusAddress};

/// How many may ask at once; more wait to be accepted. There are a few Prometheus servers, and a person with curl.
const MAX_CONNECTIONS: usize = 8;

/// How long one may take to say what it wants.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a connection may last in all: as long as Prometheus waits for an answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest head of a request.
const MAX_HEAD: usize = 16 * 1024;

/// A running server. Dropped, it ends with all its connections.
#[derive(Debug)]
pub(super) struct Scrape {
    address: SocketAddr,
    server: JoinHandle<()>,
}

// === impl Scrape ===

impl Scrape {
    /// Listens, and answers with what the reader that comes with it collects.
    pub(super) fn start(at: &PrometheusAddress) -> Result<(PrometheusExporter, Self), TelemetryError> {
        // One address of the name alone, of IPv4 where there is one: with several, a second process would find the first
        // of them taken, listen on another, and nobody would know which one Prometheus asks.
        let addresses = (at.host.as_str(), at.port).to_socket_addrs().map_err(|_| at.unknown_host())?;
        let address = addresses.min_by_key(SocketAddr::is_ipv6).ok_or_else(|| at.unknown_host())?;
        let listener = listen(address).map_err(|source| TelemetryError::Listen { address, source })?;
        let address = listener.local_addr().map_err(|source| TelemetryError::Listen { address, source })?;
        let registry = Registry::new();
        let reader = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            // All instruments are of one scope: its name on every series would tell nobody anything.
            .scope_info_enabled(false)
            .build()
            .expect("a new registry takes its first collector");
        let server = tokio::spawn(serve(listener, registry));
        Ok((reader, Self { address, server }))
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Scrape {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = StdListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

async fn serve(listener: TcpListener, registry: Registry) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(answer_on(stream, registry.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection for metrics");
                // Such as too many open files, which lasts.
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Answers one request: without keep-alive no idle connection takes another's place.
async fn answer_on(stream: TcpStream, registry: Registry) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_TIMEOUT)
        .keep_alive(false)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service_fn(|request| answer(request, registry.clone())));
    match timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a request for metrics failed"),
        Err(_) => tracing::debug!("a request for metrics took too long"),
    }
}

async fn answer(request: Request<Incoming>, registry: Registry) -> Result<Response<String>, Infallible> {
    let (code, content_type, text) = match (request.uri().path(), request.method()) {
        ("/metrics", &(Method::GET | Method::HEAD)) => match encode(registry).await {
            Ok(text) => (StatusCode::OK, TEXT_FORMAT, text),
            Err(error) => {
                tracing::error!(%error, "metrics cannot be written");
                (StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "the metrics cannot be written\n".to_owned())
            }
        },
        ("/metrics", _) => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "GET alone is allowed\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "text/plain", "metrics are at /metrics\n".to_owned()),
    };
    let mut response = Response::new(text);
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    Ok(response)
}

/// Collects and writes all there is: on a thread for such work, because requests do not wait for it there.
async fn encode(registry: Registry) -> Result<String, tower::BoxError> {
    let encode = move || TextEncoder::new().encode_to_string(&registry.gather());
    Ok(spawn_blocking(encode).await??)
}
