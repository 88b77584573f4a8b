//! The whole: listens, receives, serves.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    accept::{Protocol, serve},
    analyst::Analyst,
    api::{Api, Context},
    body::Budget,
    forward::Forward,
    options::Options,
    otlp::{grpc::GrpcReceiver, http::HttpReceiver, receiver::Receiver},
    outlet::{Item, Outlet},
    persist::Persist,
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

/// Why the viewer could not start.
#[derive(Debug, thiserror::Error)]
pub enum ViewerError {
    /// A listener has no address.
    #[error("cannot listen: {0}")]
    Listener(#[from] io::Error),
    /// What is received cannot be handed on to this URL.
    #[error("cannot forward to '{url}': {source}")]
    Forward {
        /// The URL.
        url: String,
        /// Why.
        source: tonic::transport::Error,
    },
    /// The database cannot be opened.
    #[error("cannot keep traces in {}: {source}", .directory.display())]
    Database {
        /// Its directory.
        directory: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
}

/// Serves until `shutdown` ends, and then until requests in flight are answered, for at most two seconds, and what was
/// received is handed on and written.
///
/// # Errors
///
/// Returns an error if it cannot start: see [`ViewerError`].
pub async fn run(
    options: Options,
    listeners: Listeners,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ViewerError> {
    let store = Arc::new(Store::new(options.max_bytes));
    let (stop, budget) = (CancellationToken::new(), Budget::default());
    let (forward_outlet, forward) = forward(&options)?.unzip();
    let (persist_outlet, persist) = persist(&options, &store).await?.unzip();
    let counts = |outlet: &Option<Outlet>| outlet.as_ref().map(|outlet| Arc::clone(outlet.counts()));
    let (forwarded, saved) = (counts(&forward_outlet), counts(&persist_outlet));
    let receiver = Receiver::new(Arc::clone(&store), budget.clone(), forward_outlet, persist_outlet);
    let otlp: [SocketAddr; 2] = [listeners.otlp_grpc.local_addr()?, listeners.otlp_http.local_addr()?];
    let page = listeners.page.local_addr()?;
    let analyst = Arc::new(Analyst::default());
    let analysis = Arc::clone(&analyst).run(Arc::clone(&store), stop.clone());
    let context = Context { store, analyst, budget, options, otlp, forwarded, saved, page, stop: stop.clone() };
    let api = Api::new(context);
    let (grpc, http) = (GrpcReceiver(receiver.clone()), HttpReceiver(receiver));
    let stop_forwarding = CancellationToken::new();
    let passing_on = async {
        tokio::join!(
            async {
                if let Some((forward, items)) = forward {
                    forward.run(items, stop_forwarding.clone()).await;
                }
            },
            async {
                if let Some((persist, items)) = persist {
                    // Ends when the receivers, which have the other end of its queue, have ended.
                    persist.run(items).await;
                }
            },
        );
    };
    let serving = async {
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
        stop_forwarding.cancel();
    };
    tokio::join!(serving, passing_on);
    Ok(())
}

type Way<T> = (Outlet, (T, mpsc::Receiver<Item>));

fn forward(options: &Options) -> Result<Option<Way<Forward>>, ViewerError> {
    let Some(url) = &options.forward else { return Ok(None) };
    let (outlet, items) = Outlet::new();
    let forward = Forward::new(url, Arc::clone(outlet.counts()));
    let forward = forward.map_err(|source| ViewerError::Forward { url: url.clone(), source })?;
    Ok(Some((outlet, (forward, items))))
}

async fn persist(options: &Options, store: &Store) -> Result<Option<Way<Persist>>, ViewerError> {
    let Some(directory) = &options.data_dir else { return Ok(None) };
    let (outlet, items) = Outlet::new();
    let persist = Persist::open(directory, store, options.max_bytes, Arc::clone(outlet.counts())).await;
    let persist = persist.map_err(|source| ViewerError::Database { directory: directory.clone(), source })?;
    Ok(Some((outlet, (persist, items))))
}
