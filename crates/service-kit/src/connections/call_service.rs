//! Runs the calls of one connection.

use std::{
    convert::Infallible,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, service::Service};
use pin_project_lite::pin_project;
use rpc_layers::Peer;
use tonic::{Code, Status, body::Body};

use super::{calls::Calls, connection::Shared, request_body::RequestBody};
use crate::routes::RouteFuture;

/// Serves the calls of a connection. Each has the [`Peer`] in its extensions.
///
/// A call does nothing when it is polled first, and has to be polled again without being woken. hyper looks between the two
/// whether the caller has reset the call: hundreds of thousands of calls that are reset at once (CVE-2023-44487) would
/// otherwise be begun, with a span and calls to others.
#[derive(Clone, Debug)]
pub(super) struct CallService {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    calls: Arc<Calls>,
}

pin_project! {
    /// A call that is pending when it is polled first. It is counted if it is refused.
    #[derive(Debug)]
    pub(super) struct PolledTwice<F> {
        #[pin]
        inner: F,
        is_polled: bool,
        calls: Arc<Calls>,
    }
}

// === impl CallService ===

impl CallService {
    pub(super) fn new(shared: Arc<Shared>, peer: Peer, calls: Arc<Calls>) -> Self {
        Self { shared, peer: Arc::new(peer), calls }
    }
}

impl Service<Request<Incoming>> for CallService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = PolledTwice<RouteFuture>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut request = request.map(|body| RequestBody::new(body, Arc::clone(&self.calls)));
        request.extensions_mut().insert(Arc::clone(&self.peer));
        PolledTwice { inner: self.shared.routes.call(request), is_polled: false, calls: Arc::clone(&self.calls) }
    }
}

// === impl PolledTwice ===

impl<F: Future<Output = Result<Response<Body>, Infallible>>> Future for PolledTwice<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if !mem::replace(this.is_polled, true) {
            return Poll::Pending;
        }
        let Ok(response) = ready!(this.inner.poll(cx));
        if is_refusal(&response) {
            this.calls.refuse_one();
        }
        Poll::Ready(Ok(response))
    }
}

/// Returns whether a call got an answer that costs nothing but itself: its caller may not make it, or makes too many.
fn is_refusal(response: &Response<Body>) -> bool {
    let code = || response.headers().get(Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()));
    let is_refused = |code| {
        matches!(code, Code::Unauthenticated | Code::PermissionDenied | Code::ResourceExhausted | Code::Unimplemented)
    };
    response.status() != StatusCode::OK || code().is_some_and(is_refused)
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[tokio::test]
    async fn calls_that_are_refused_are_counted() {
        let calls = Arc::<Calls>::default();
        let http = |status| Response::builder().status(status).body(Body::empty()).unwrap();
        let grpc = |code| Status::new(code, "").into_http();
        let responses = [
            (http(200), 0),
            (http(405), 1),
            (grpc(Code::NotFound), 1),
            (grpc(Code::Unauthenticated), 2),
            (grpc(Code::ResourceExhausted), 3),
        ];
        for (response, refused) in responses {
            let mut call =
                Box::pin(PolledTwice { inner: ready(Ok(response)), is_polled: false, calls: Arc::clone(&calls) });
            assert!(futures::poll!(&mut call).is_pending());
            let Ok(_) = call.await;
            assert_eq!(calls.work().refused, refused);
        }
    }
}
