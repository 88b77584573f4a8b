//! Runs the calls of one connection.

use std::{convert::Infallible, sync::Arc};

use http::{Request, Response};
use hyper::{body::Incoming, service::Service};
use rpc_layers::Peer;
use tonic::{body::Body, service::Routes};
use tower::{ServiceExt as _, util::Oneshot};

use super::request_body::RequestBody;

/// Serves the calls of a connection. Each has the [`Peer`] in its extensions.
#[derive(Clone, Debug)]
pub(super) struct CallService {
    routes: Routes,
    peer: Arc<Peer>,
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
    type Future = Oneshot<Routes, Request<RequestBody>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut request = request.map(RequestBody::new);
        request.extensions_mut().insert(Arc::clone(&self.peer));
        self.routes.clone().oneshot(request)
    }
}
