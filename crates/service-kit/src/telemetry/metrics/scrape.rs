//! Metrics for Prometheus: `GET /metrics` on a port of its own.

mod connections;

use std::{
    convert::Infallible,
    net::{SocketAddr, TcpListener as StdListener, ToSocketAddrs as _},
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use opentelemetry_prometheus::PrometheusExporter;
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};
use rpc_layers::Throttle;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::{JoinHandle, spawn_blocking},
    time::{sleep, timeout},
};

use self::connections::{Asked, Connections};
use super::{super::error::TelemetryError, settings::PrometheusAddress};

/// How many connections may be open. Enough for a few Prometheus servers and a person with curl, and for as many silent
/// ones as appear in the moment that a request takes to arrive.
const MAX_CONNECTIONS: usize = 64;

/// How long the head of a request may take to arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a connection may last: as long as Prometheus waits for a reply by default.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// A running server. Dropping it ends the server with all its connections.
#[derive(Debug)]
pub(super) struct Scrape {
    address: SocketAddr,
    server: JoinHandle<()>,
}

// === impl Scrape ===

impl Scrape {
    /// Listens, and returns the metric reader whose values the server answers with.
    pub(super) fn start(at: &PrometheusAddress) -> Result<(PrometheusExporter, Self), TelemetryError> {
        // Uses a single address of the name, IPv4 if there is one: with several, a second process would find the first
        // in use and listen on another, so that it would be unclear which of them Prometheus asks.
        let addresses = (at.host.as_str(), at.port).to_socket_addrs().map_err(|_| at.unknown_host())?;
        let address = addresses.min_by_key(SocketAddr::is_ipv6).ok_or_else(|| at.unknown_host())?;
        let listener = listen(address).map_err(|source| TelemetryError::Listen { address, source })?;
        let address = listener.local_addr().map_err(|source| TelemetryError::Listen { address, source })?;
        let registry = Registry::new();
        let reader = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            // All instruments have the same scope, so that its name on every series would be of no use.
            .scope_info_enabled(false)
            .build()
            .expect("a new registry accepts its first collector");
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
    let mut connections = Connections::default();
    let answer = Answer { registry, turn: Arc::new(Semaphore::new(1)) };
    let warnings = Throttle::default();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => connections.add(|asked| answer_on(stream, answer.clone(), asked)),
            Err(error) => {
                if let Some(others) = warnings.allow(Instant::now()) {
                    tracing::warn!(%error, others, "cannot accept a connection for metrics");
                }
                // Such as too many open files, which does not pass at once.
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Answers one request. Without keep-alive idle connections do not count against the limit.
async fn answer_on(stream: TcpStream, answer: Answer, asked: Asked) {
    let answer = service_fn(move |request| {
        asked.set();
        answer.clone().to(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_TIMEOUT)
        .keep_alive(false)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), answer);
    match timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a request for metrics failed"),
        Err(_) => tracing::debug!("a request for metrics took too long"),
    }
}

/// Answers requests, one after the other: to write all metrics keeps a core busy for milliseconds.
#[derive(Clone)]
struct Answer {
    registry: Registry,
    turn: Arc<Semaphore>,
}

impl Answer {
    async fn to(self, request: Request<Incoming>) -> Result<Response<String>, Infallible> {
        let (code, content_type, text) = match (request.uri().path(), request.method()) {
            ("/metrics", &(Method::GET | Method::HEAD)) => match self.encode().await {
                Ok(text) => (StatusCode::OK, TEXT_FORMAT, text),
                Err(error) => {
                    tracing::error!(%error, "metrics cannot be written");
                    (StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "the metrics cannot be written\n".to_owned())
                }
            },
            ("/metrics", _) => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET is allowed\n".to_owned()),
            _ => (StatusCode::NOT_FOUND, "text/plain", "metrics are at /metrics\n".to_owned()),
        };
        let mut response = Response::new(text);
        *response.status_mut() = code;
        response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
        Ok(response)
    }

    /// Collects and encodes all metrics, on a blocking thread so that requests of the service do not wait for it.
    async fn encode(self) -> Result<String, tower::BoxError> {
        let turn = self.turn.acquire_owned().await?;
        let encode = move || {
            let text = TextEncoder::new().encode_to_string(&self.registry.gather());
            drop(turn);
            text
        };
        Ok(spawn_blocking(encode).await??)
    }
}
