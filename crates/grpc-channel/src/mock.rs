//! A service for the layers' tests, whose replies the test gives.
//!
//! Like `tower_test::mock`; besides, it shows when a caller has gone.

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tower::Service;

use crate::{
    call::Call,
    error::Failure,
    reply::{Reply, StreamBody, WholeReply},
};

/// The service. Clones share the other end.
#[derive(Clone, Debug)]
pub(crate) struct MockService(mpsc::UnboundedSender<(Call, Responder)>);

/// The calls that reach the service, each with what replies to it.
pub(crate) type Calls = mpsc::UnboundedReceiver<(Call, Responder)>;

/// Replies to a call.
#[derive(Debug)]
pub(crate) struct Responder(oneshot::Sender<Result<Reply, Failure>>);

pub(crate) fn mock_service() -> (MockService, Calls) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (MockService(sender), receiver)
}

impl Service<Call> for MockService {
    type Response = Reply;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<Reply, Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let (sender, receiver) = oneshot::channel();
        self.0.send((call, Responder(sender))).expect("the test takes calls");
        Box::pin(async { receiver.await.expect("the test replies or drops the caller") })
    }
}

// === impl Responder ===

impl Responder {
    /// Replies with an empty message.
    pub(crate) fn ok(self) {
        let _ = self.0.send(Ok(Reply::Whole(WholeReply::default())));
    }

    /// Replies with the headers of a stream whose body ends when it is read.
    pub(crate) fn stream(self) {
        let body = StreamBody::new(EmptyBody);
        let _ = self.0.send(Ok(Reply::Stream(Box::new(http::Response::new(body)))));
    }

    pub(crate) fn fail(self, failure: Failure) {
        let _ = self.0.send(Err(failure));
    }

    /// Returns whether the caller has dropped the call.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.is_closed()
    }
}

/// A body without data, with the trailers of success.
struct EmptyBody;

impl http_body::Body for EmptyBody {
    type Data = bytes::Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, tonic::Status>>> {
        Poll::Ready(None)
    }
}
