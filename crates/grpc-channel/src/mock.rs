//! A service for the layers' tests, whose answers the test gives.
//!
//! Like `tower_test::mock`, and besides it tells when a caller has gone.

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tower::Service;

use crate::{
    call::{AnyReply, UnaryCall},
    error::Failure,
};

/// The service: clones share the other end.
#[derive(Clone, Debug)]
pub(crate) struct MockService(mpsc::UnboundedSender<(UnaryCall, Answer)>);

/// The calls that reach the service, each with the place for its answer.
pub(crate) type Calls = mpsc::UnboundedReceiver<(UnaryCall, Answer)>;

/// Where a call's answer goes.
#[derive(Debug)]
pub(crate) struct Answer(oneshot::Sender<Result<AnyReply, Failure>>);

pub(crate) fn mock_service() -> (MockService, Calls) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (MockService(sender), receiver)
}

impl Service<UnaryCall> for MockService {
    type Response = AnyReply;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<AnyReply, Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: UnaryCall) -> Self::Future {
        let (sender, receiver) = oneshot::channel();
        self.0.send((call, Answer(sender))).expect("the test takes calls");
        Box::pin(async { receiver.await.expect("the test answers or drops the caller") })
    }
}

impl Answer {
    pub(crate) fn ok(self) {
        let _ = self.0.send(Ok(AnyReply::default()));
    }

    pub(crate) fn fail(self, failure: Failure) {
        let _ = self.0.send(Err(failure));
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.is_closed()
    }
}
