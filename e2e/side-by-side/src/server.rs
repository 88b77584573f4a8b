//! The greeter on a stock tonic server.

use std::{
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr},
    sync::Mutex,
    thread,
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use crate::{
    BoxError, ServeArgs,
    greeter::{
        SayHelloRequest, SayHelloResponse,
        greeter_server::{Greeter, GreeterServer},
    },
    proxy,
};

/// The health service's name for the greeter; `warm_channels` asks for it by default.
const READY: &str = "ready";

/// How many calls of a slow tail there are, and how much slower they are.
const TAIL_SHARE: f64 = 0.01;
const TAIL_FACTOR: u32 = 100;

struct GreeterService {
    tail: Option<Mutex<StdRng>>,
}

/// Serves until standard input closes. Prints "listening PORT" first.
pub(crate) async fn serve(args: &ServeArgs) -> Result<(), BoxError> {
    end_with_parent()?;

    let public = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, args.port))).await?;
    writeln!(io::stdout(), "listening {}", public.local_addr()?.port())?;
    let listener = match args.reset_after {
        None => public,
        Some(bytes) => {
            let inner = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            tokio::spawn(proxy::reset_connections(public, inner.local_addr()?, bytes));
            inner
        }
    };

    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_service_status(READY, tonic_health::ServingStatus::Serving).await;
    let tail = args.tail.map(|seed| Mutex::new(StdRng::seed_from_u64(seed)));
    Server::builder()
        .add_service(health_service)
        .add_service(GreeterServer::new(GreeterService { tail }))
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await?;
    Ok(())
}

/// Ends this process when the one that started it has ended.
fn end_with_parent() -> io::Result<()> {
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
    // A stopped process does not see that its standard input has closed.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    Ok(())
}

// === impl GreeterService ===

impl GreeterService {
    /// How many times slower this call is.
    fn factor(&self) -> u32 {
        let Some(tail) = &self.tail else { return 1 };
        let slow = tail.lock().expect("drawing a number does not panic").random_bool(TAIL_SHARE);
        if slow { TAIL_FACTOR } else { 1 }
    }
}

#[tonic::async_trait]
impl Greeter for GreeterService {
    async fn say_hello(&self, request: Request<SayHelloRequest>) -> Result<Response<SayHelloResponse>, Status> {
        let SayHelloRequest { name, delay_ms, padding_bytes } = request.into_inner();
        tokio::time::sleep(Duration::from_millis(delay_ms.into()) * self.factor()).await;
        let padding = vec![0; padding_bytes as usize];
        Ok(Response::new(SayHelloResponse { message: format!("Hello, {name}"), padding }))
    }
}
