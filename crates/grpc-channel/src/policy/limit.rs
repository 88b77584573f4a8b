//! Rejects calls while too many are in flight.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::{Either, Ready, ready};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tower::{Service, ServiceExt as _, util::Oneshot};

use crate::{
    call::Call,
    error::{Cause, Failure},
    observe::{Observed, observe},
    observer::Observer,
    reply::Reply,
};

/// Lets so many calls be in flight, and rejects all others. A reply that streams keeps its permit until it has ended.
///
/// tower's own limit releases the permit with the headers, when a stream has hardly begun.
#[derive(Clone, Debug)]
pub(crate) struct Limit<S> {
    inner: S,
    permits: Arc<Semaphore>,
}

/// One of the calls in flight.
#[derive(Debug)]
pub(crate) struct CallPermit {
    _permit: OwnedSemaphorePermit,
}

// === impl Limit ===

impl<S> Limit<S> {
    /// Shares these permits with all clones.
    pub(crate) fn new(inner: S, permits: Arc<Semaphore>) -> Self {
        Self { inner, permits }
    }
}

impl<S> Service<Call> for Limit<S>
where
    S: Service<Call, Response = Reply, Error = Failure> + Clone,
{
    type Response = Reply;
    type Error = Failure;
    type Future = Either<Observed<Oneshot<S, Call>, CallPermit>, Ready<Result<Reply, Failure>>>;

    /// Always ready: waiting for the layers below is part of the call.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => Either::Left(observe(self.inner.clone().oneshot(call), CallPermit { _permit: permit })),
            Err(_) => Either::Right(ready(Err(Failure::new(
                Cause::Shed,
                Status::resource_exhausted("too many calls in flight"),
            )))),
        }
    }
}

// === impl CallPermit ===

impl Observer for CallPermit {
    /// Dropping it is all there is to do.
    fn ended(&mut self, _: Result<(), &Failure>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::mock_service;

    #[tokio::test]
    async fn beyond_the_limit_calls_are_rejected_until_one_ends() {
        let (inner, mut calls) = mock_service();
        let mut service = Limit::new(inner, Arc::new(Semaphore::new(1)));
        let first = tokio::spawn(service.call(Call::example()));
        let (_, responder) = calls.recv().await.unwrap();
        assert_eq!(service.call(Call::example()).await.unwrap_err().cause, Cause::Shed);
        responder.ok();
        first.await.unwrap().unwrap();
        let next = tokio::spawn(service.call(Call::example()));
        calls.recv().await.unwrap().1.ok();
        next.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_reply_that_streams_is_in_flight_until_its_end() {
        let (inner, mut calls) = mock_service();
        let mut service = Limit::new(inner, Arc::new(Semaphore::new(1)));
        let first = tokio::spawn(service.call(Call::stream()));
        calls.recv().await.unwrap().1.stream();
        let reply = first.await.unwrap().unwrap();
        assert_eq!(service.call(Call::example()).await.unwrap_err().cause, Cause::Shed);
        drop(reply);
        let next = tokio::spawn(service.call(Call::example()));
        calls.recv().await.unwrap().1.ok();
        next.await.unwrap().unwrap();
    }
}
