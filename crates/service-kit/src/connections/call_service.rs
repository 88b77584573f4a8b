//! Runs the calls of one connection.

use std::{
    convert::Infallible,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use hyper::{body::Incoming, service::Service};
use pin_project_lite::pin_project;
use rpc_layers::Peer;
use tonic::{body::Body, service::Routes};
use tower::{ServiceExt as _, util::Oneshot};

use super::request_body::RequestBody;

/// Serves the calls of a connection. Each has the [`Peer`] in its extensions.
///
/// A call does nothing when it is polled first, and has to be polled again without being woken. hyper looks between the two
/// whether the caller has reset the call: hundreds of thousands of calls that are reset at once (CVE-2023-44487) would
/// otherwise be begun, with a span and calls to others.
#[derive(Clone, Debug)]
pub(super) struct CallService {
    routes: Routes,
    peer: Arc<Peer>,
}

pin_project! {
    /// A future that is pending when it is polled first.
    #[derive(Debug)]
    pub(super) struct PolledTwice<F> {
        #[pin]
        inner: F,
        is_polled: bool,
    }
}

// === impl CallService ===

impl CallService {
    pub(super) fn new(routes: Routes, peer: Peer) -> Self {
        Self { routes, peer: Arc::new(peer) }
    }
}

impl Service<Request<Incoming>> for CallService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = PolledTwice<Oneshot<Routes, Request<RequestBody>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut request = request.map(RequestBody::new);
        request.extensions_mut().insert(Arc::clone(&self.peer));
        PolledTwice { inner: self.routes.clone().oneshot(request), is_polled: false }
    }
}

// === impl PolledTwice ===

impl<F: Future> Future for PolledTwice<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if mem::replace(this.is_polled, true) { this.inner.poll(cx) } else { Poll::Pending }
    }
}
