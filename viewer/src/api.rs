//! What the page asks, as JSON over HTTP.
//!
//! # Layout
//!
//! * [`guard`]: which requests come from a page of ours.
//! * [`respond`]: responses and errors; [`query`]: the parameters of a request.
//! * [`status`], [`traces`], [`trace`], [`span`], [`operations`], [`analyze`]: the documents; [`feed`]: those that are told as they change.
//! * [`panel`]: the run panel.

mod analyze;
mod feed;
mod guard;
mod operations;
mod panel;
mod query;
mod respond;
mod span;
mod status;
mod trace;
mod traces;

use std::{net::SocketAddr, sync::Arc};

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::{
    feed::StoreFeed,
    respond::{ApiError, json},
};
use crate::{
    accept::Answer,
    analyst::Analyst,
    body::{Body, Budget},
    connections::Connection,
    events::Hub,
    options::Options,
    outlet::OutletCounts,
    page,
    store::Store,
};

/// How many requests are worked on at a time. Others wait.
const MAX_WORKING: usize = 4;

/// What answers depend on.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) store: Arc<Store>,
    pub(crate) analyst: Arc<Analyst>,
    pub(crate) budget: Budget,
    pub(crate) options: Options,
    /// Where OTLP is received over gRPC, and over HTTP.
    pub(crate) otlp: [SocketAddr; 2],
    /// What became of requests on their way to another receiver, and to the disk, if there is one.
    pub(crate) forwarded: Option<Arc<OutletCounts>>,
    pub(crate) saved: Option<Arc<OutletCounts>>,
    /// Where the page is.
    pub(crate) page: SocketAddr,
    pub(crate) stop: CancellationToken,
}

/// Answers the page's requests.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    context: Arc<Context>,
    working: Arc<Semaphore>,
    running: Arc<Semaphore>,
    analyzing: Arc<Semaphore>,
    hub: Hub,
}

// === impl Api ===

impl Api {
    pub(crate) fn new(context: Context) -> Self {
        Self {
            context: Arc::new(context),
            working: Arc::new(Semaphore::new(MAX_WORKING)),
            running: Arc::new(Semaphore::new(panel::MAX_RUNNING)),
            analyzing: Arc::new(Semaphore::new(1)),
            hub: Hub::default(),
        }
    }

    /// Tells readers what happens until the viewer stops.
    pub(crate) async fn tell(&self) {
        let feed = Arc::new(StoreFeed::new(Arc::clone(&self.context)));
        self.hub.run(feed, self.context.stop.clone()).await;
    }

    async fn route(&self, request: Request<Incoming>) -> Result<Response<Body>, ApiError> {
        guard::check(&request, &self.context)?;
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let query = request.uri().query().unwrap_or_default().to_owned();
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let is_read = method == Method::GET || method == Method::HEAD;
        match segments.as_slice() {
            ["api", "status"] if is_read => Ok(json(&status::document(&self.context))),
            ["api", "services"] if is_read => self.work(|context| Ok(json(&status::services(context)))).await,
            ["api", "traces"] if is_read => {
                let query = traces::ListQuery::parse(&query)?;
                self.work(move |context| Ok(json(&traces::list(context, &query)))).await
            }
            ["api", "traces", id] if is_read => {
                let id = (*id).to_owned();
                self.work(move |context| Ok(json(&trace::document(context, &id)?))).await
            }
            ["api", "traces", id, "otlp"] if is_read => {
                let id = (*id).to_owned();
                self.work(move |context| trace::download(context, &id)).await
            }
            ["api", "operations"] if is_read => self.work(|context| Ok(json(&operations::document(context)))).await,
            ["api", "analyze"] if method == Method::POST => {
                // One at a time: a file takes many times its size while it is read.
                let permit = Arc::clone(&self.analyzing).acquire_owned().await.expect("the semaphore is not closed");
                let body = self.context.budget.read(request.into_body(), analyze::MAX_FILE).await?;
                self.work(move |_| {
                    let document = analyze::document(&body.bytes);
                    drop((body, permit));
                    Ok(json(&document?))
                })
                .await
            }
            ["api", "events"] if is_read => self.events(&request),
            ["api", "gateway"] if is_read => panel::describe(&self.context).await,
            ["api", "run" | "compare"] | ["api", "questions", _] if method == Method::POST => {
                let action = panel::action(&segments[1..])?;
                panel::act(&self.context, &self.running, action, request.into_body()).await
            }
            ["api", rest @ ..] if is_known(rest) => Err(ApiError::method()),
            _ => match page::find(&path) {
                Some(file) if is_read => Ok(respond::file(file, request.headers())),
                Some(_) => Err(ApiError::method()),
                None => Err(ApiError::not_found(format!("there is nothing at {path}"))),
            },
        }
    }

    fn events(&self, request: &Request<Incoming>) -> Result<Response<Body>, ApiError> {
        let connection = request.extensions().get::<Connection>().expect("every request has its connection").clone();
        match self.hub.read(connection, self.context.stop.clone()) {
            Some(body) => Ok(respond::events(body)),
            None => Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too many readers of events".to_owned())),
        }
    }

    /// Runs what takes time on a thread that may block.
    async fn work(
        &self,
        work: impl FnOnce(&Context) -> Result<Response<Body>, ApiError> + Send + 'static,
    ) -> Result<Response<Body>, ApiError> {
        let permit = Arc::clone(&self.working).acquire_owned().await.expect("the semaphore is not closed");
        let context = Arc::clone(&self.context);
        let worked = tokio::task::spawn_blocking(move || {
            let result = work(&context);
            drop(permit);
            result
        });
        worked.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a request failed");
            Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "this request failed; the log says more".to_owned()))
        })
    }
}

/// Returns whether there is something at this path, by whatever method.
fn is_known(path: &[&str]) -> bool {
    const READ: [&str; 6] = ["status", "services", "traces", "operations", "events", "gateway"];
    const POSTED: [&str; 3] = ["analyze", "run", "compare"];
    match path {
        [name] => READ.contains(name) || POSTED.contains(name),
        ["traces" | "questions", _] | ["traces", _, "otlp"] => true,
        _ => false,
    }
}

impl Answer for Api {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let is_head = request.method() == Method::HEAD;
        let mut response = match self.route(request).await {
            Ok(response) => response,
            Err(error) => error.response(),
        };
        respond::protect(response.headers_mut());
        if is_head {
            *response.body_mut() = crate::body::full("");
        }
        response
    }
}
