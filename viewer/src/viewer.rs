//! The whole: listens, receives, serves.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    accept::{Protocol, serve},
    analyst::Analyst,
    api::{Api, Context},
    body::Budget,
    options::Options,
    otlp::{grpc::GrpcReceiver, http::HttpReceiver, receiver::Receiver},
    store::Store,
};

/// Where the viewer listens.
#[derive(Debug)]
pub struct Listeners {
    /// For browsers.
    pub page: TcpListener,
    /// For OTLP over gRPC.
    pub otlp_grpc: TcpListener,
    /// For OTLP over HTTP.
    pub otlp_http: TcpListener,
}

/// Serves until `shutdown` ends, and then until requests in flight are answered, for at most two seconds.
///
/// # Errors
///
/// Returns an error if a listener has no address.
pub async fn run(options: Options, listeners: Listeners, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let store = Arc::new(Store::new(options.max_bytes));
    let budget = Budget::default();
    let receiver = Receiver::new(Arc::clone(&store), budget.clone());
    let addresses: [SocketAddr; 2] = [listeners.otlp_grpc.local_addr()?, listeners.otlp_http.local_addr()?];
    let page = listeners.page.local_addr()?;
    let stop = CancellationToken::new();
    let analyst = Arc::new(Analyst::default());
    let analysis = Arc::clone(&analyst).run(Arc::clone(&store), stop.clone());
    let context = Context { store, analyst, budget, options, otlp: addresses, page, stop: stop.clone() };
    let api = Api::new(context);
    let (grpc, http) = (GrpcReceiver(receiver.clone()), HttpReceiver(receiver));
    tokio::join!(
        api.tell(),
        analysis,
        serve(listeners.page, Protocol::Http1, api.clone(), stop.clone()),
        serve(listeners.otlp_grpc, Protocol::Http2, grpc, stop.clone()),
        serve(listeners.otlp_http, Protocol::Http1, http, stop.clone()),
        async {
            shutdown.await;
            stop.cancel();
        },
    );
    Ok(())
}
