//! The echo service on a stock tonic server.

use std::{future::pending, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Response, Status, Streaming, async_trait, codec::CompressionEncoding, metadata::MetadataMap,
    transport::Server,
};

use crate::{
    echo::{
        EchoReply, EchoRequest,
        echo_service_server::{EchoService, EchoServiceServer},
    },
    log::{CallGuard, CallLog},
};

/// The metadata that a reply repeats.
const ECHO: &str = "x-echo";

/// How a server treats all its calls.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// The delay of each call.
    pub delay: Duration,
    /// The first calls that fail, with this code.
    pub failing: usize,
    /// The code that they fail with.
    pub code: Code,
    /// The first calls that never reply.
    pub hanging: usize,
    /// Permits to read a message of a request that streams; `None` for no limit.
    pub reads: Option<Arc<Semaphore>>,
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct EchoServer {
    address: SocketAddr,
    log: CallLog,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

#[derive(Debug)]
struct Echo {
    behaviour: Behaviour,
    log: CallLog,
}

// === impl Behaviour ===

impl Default for Behaviour {
    fn default() -> Self {
        Self { delay: Duration::ZERO, failing: 0, code: Code::Unavailable, hanging: 0, reads: None }
    }
}

impl Behaviour {
    /// Every call takes this long.
    pub fn slow(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    /// The first `failing` calls fail with this code.
    pub fn failing(failing: usize, code: Code) -> Self {
        Self { failing, code, ..Self::default() }
    }
}

// === impl EchoServer ===

impl EchoServer {
    /// Starts a server on a free port of the loopback interface.
    ///
    /// # Panics
    ///
    /// Panics if no port can be bound.
    pub async fn start(behaviour: Behaviour) -> Self {
        Self::start_on(TcpListener::bind("127.0.0.1:0").await.expect("a port is free"), behaviour)
    }

    /// Starts a server on this listener.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub fn start_on(listener: TcpListener, behaviour: Behaviour) -> Self {
        let address = listener.local_addr().expect("it is bound");
        let (log, shutdown) = (CallLog::new(), CancellationToken::new());
        let echo = EchoServiceServer::new(Echo { behaviour, log: log.clone() })
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip);
        // Smaller than the connection's window, so that a stream that is not read leaves room for other calls.
        let serving = Server::builder()
            .initial_stream_window_size(256 * 1024)
            .add_service(echo)
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), shutdown.clone().cancelled_owned());
        let running = tokio::spawn(async move { serving.await.expect("accepting on loopback does not fail") });
        Self { address, log, shutdown, running }
    }

    /// Returns the server's URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the server's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what the handlers saw.
    pub fn log(&self) -> &CallLog {
        &self.log
    }

    /// Accepts no more calls, and waits until those in flight have ended.
    ///
    /// # Panics
    ///
    /// Panics if the server failed.
    pub async fn shut_down(mut self) {
        self.shutdown.cancel();
        (&mut self.running).await.expect("the server does not panic");
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.running.abort();
    }
}

// === impl Echo ===

impl Echo {
    /// Begins a call: waits, hangs or fails as the behaviour says.
    async fn begin(&self, metadata: MetadataMap) -> Result<CallGuard, Status> {
        let guard = self.log.begin(metadata.into_headers());
        let number = self.log.counts().begun;
        if number <= self.behaviour.hanging {
            pending::<()>().await;
        }
        if !self.behaviour.delay.is_zero() {
            tokio::time::sleep(self.behaviour.delay).await;
        }
        if number <= self.behaviour.failing {
            guard.end();
            return Err(Status::new(self.behaviour.code, "told to fail"));
        }
        Ok(guard)
    }

    async fn unary(&self, request: Request<EchoRequest>) -> Result<Response<EchoReply>, Status> {
        let (metadata, _, request) = request.into_parts();
        let guard = self.begin(metadata.clone()).await?;
        self.log.message();
        end(guard, &request).await?;
        Ok(with_echo(reply(&request, 1, 0), &metadata))
    }

    async fn next(&self, requests: &mut Streaming<EchoRequest>) -> Option<Result<EchoRequest, Status>> {
        if let Some(reads) = &self.behaviour.reads {
            reads.acquire().await.expect("it is never closed").forget();
        }
        let request = requests.next().await;
        if matches!(request, Some(Ok(_))) {
            self.log.message();
        }
        request
    }
}

type Replies = Pin<Box<dyn Stream<Item = Result<EchoReply, Status>> + Send>>;

#[async_trait]
impl EchoService for Echo {
    type ListStream = Replies;
    type ChatStream = Replies;

    async fn get(&self, request: Request<EchoRequest>) -> Result<Response<EchoReply>, Status> {
        self.unary(request).await
    }

    async fn create(&self, request: Request<EchoRequest>) -> Result<Response<EchoReply>, Status> {
        self.unary(request).await
    }

    async fn list(&self, request: Request<EchoRequest>) -> Result<Response<Replies>, Status> {
        let (metadata, _, request) = request.into_parts();
        let guard = self.begin(metadata.clone()).await?;
        let replies = stream::iter((1..=request.replies).map({
            let request = request.clone();
            move |_| Ok(reply(&request, 1, 0))
        }));
        let last =
            stream::once(async move { end(guard, &request).await }).filter_map(async |ended| ended.err().map(Err));
        Ok(with_echo(replies.chain(last).boxed() as Replies, &metadata))
    }

    async fn collect(&self, request: Request<Streaming<EchoRequest>>) -> Result<Response<EchoReply>, Status> {
        let (metadata, _, mut requests) = request.into_parts();
        let guard = self.begin(metadata.clone()).await?;
        let (mut last, mut count, mut bytes) = (EchoRequest::default(), 0, 0);
        while let Some(request) = self.next(&mut requests).await {
            last = request?;
            count += 1;
            bytes += last.payload.len() as u64;
        }
        end(guard, &last).await?;
        Ok(with_echo(reply(&last, count, bytes), &metadata))
    }

    async fn chat(&self, request: Request<Streaming<EchoRequest>>) -> Result<Response<Replies>, Status> {
        let (metadata, _, requests) = request.into_parts();
        let guard = self.begin(metadata.clone()).await?;
        let log = self.log.clone();
        let replies = stream::unfold(Some((requests, guard, 0)), move |chat| {
            let log = log.clone();
            async move {
                let (mut requests, guard, count) = chat?;
                match requests.next().await {
                    None => {
                        guard.end();
                        None
                    }
                    Some(Err(status)) => Some((Err(status), None)),
                    Some(Ok(request)) => {
                        log.message();
                        if request.hangs || request.code != 0 {
                            let status = end(guard, &request).await.expect_err("it does not end well");
                            return Some((Err(status), None));
                        }
                        Some((Ok(reply(&request, count + 1, 0)), Some((requests, guard, count + 1))))
                    }
                }
            }
        });
        Ok(with_echo(replies.boxed() as Replies, &metadata))
    }
}

/// Ends a call as its request asks for it.
async fn end(guard: CallGuard, request: &EchoRequest) -> Result<(), Status> {
    if request.hangs {
        pending::<()>().await;
    }
    guard.end();
    if request.code == 0 {
        return Ok(());
    }
    let (code, details) = (Code::from(request.code), Bytes::from(request.details.clone()));
    let mut metadata = MetadataMap::new();
    metadata.insert("x-why", "as it was asked for".parse().expect("it is ASCII"));
    Err(Status::with_details_and_metadata(code, request.text.clone(), details, metadata))
}

fn reply(request: &EchoRequest, requests: u32, payload_bytes: u64) -> EchoReply {
    EchoReply { text: request.text.clone(), padding: vec![7; request.padding as usize], requests, payload_bytes }
}

fn with_echo<T>(message: T, metadata: &MetadataMap) -> Response<T> {
    let mut response = Response::new(message);
    if let Some(value) = metadata.get(ECHO) {
        response.metadata_mut().insert(ECHO, value.clone());
    }
    response
}
