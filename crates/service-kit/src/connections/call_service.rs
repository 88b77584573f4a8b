//! What the calls of a connection are passed to.

use std::sync::Arc;

use h2::RecvStream;
use http::Request;
use rpc_layers::Peer;

use super::{calls::Calls, connection::Shared, request_body::RequestBody};
use crate::routes::RouteFuture;

/// Serves the calls of a connection. Each has the [`Peer`] in its extensions.
#[derive(Debug)]
pub(super) struct CallService {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    calls: Arc<Calls>,
}

// === impl CallService ===

impl CallService {
    pub(super) fn new(shared: Arc<Shared>, peer: Peer, calls: Arc<Calls>) -> Self {
        Self { shared, peer: Arc::new(peer), calls }
    }

    pub(super) fn call(&self, request: Request<RecvStream>) -> RouteFuture {
        let mut request = request.map(|stream| RequestBody::new(stream, Arc::clone(&self.calls)));
        request.extensions_mut().insert(Arc::clone(&self.peer));
        self.shared.routes.call(request)
    }
}
