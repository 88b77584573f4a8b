//! A replica of the greeter: a stock tonic server on a runtime of its own.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{net::TcpListener, runtime::Runtime};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use crate::helloworld::{
    SayHelloRequest, SayHelloResponse,
    greeter_service_server::{GreeterService, GreeterServiceServer},
};

/// A running server. Dropping it closes all its connections at once, as the end of its process would.
pub(crate) struct Replica {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

struct Greeter {
    /// How long one call of 25 takes.
    slow: Option<Duration>,
    calls: AtomicUsize,
}

// === impl Replica ===

impl Replica {
    /// Starts a server on a free port.
    pub(crate) fn start(slow: Option<Duration>) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        runtime.spawn(async move {
            let greeter = GreeterServiceServer::new(Greeter { slow, calls: AtomicUsize::new(0) });
            let incoming = TcpListenerStream::new(TcpListener::from_std(listener)?);
            Server::builder().add_service(greeter).serve_with_incoming(incoming).await.map_err(io::Error::other)
        });
        Ok(Self { address, runtime: Some(runtime) })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

// === impl Greeter ===

#[tonic::async_trait]
impl GreeterService for Greeter {
    async fn say_hello(&self, request: Request<SayHelloRequest>) -> Result<Response<SayHelloResponse>, Status> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let slow = self.slow.filter(|_| number % 25 == 24);
        tokio::time::sleep(slow.unwrap_or(Duration::from_millis(5))).await;
        Ok(Response::new(SayHelloResponse { message: format!("Hello, {}", request.into_inner().name) }))
    }
}
