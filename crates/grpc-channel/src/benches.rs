//! Private parts for `benches/layers.rs`: no part of the API.

use std::{
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::sync::Semaphore;
use tower::{Service, ServiceBuilder};

use crate::{
    call::Call,
    endpoints::set::EndpointSet,
    error::Failure,
    metrics::Metrics,
    policy::{
        breaker::{Breaker, SharedBreaker},
        budget::Budget,
        coalesce::Coalesce,
        deadline::CallDeadline,
        hedge::Hedge,
        limit::Limit,
        retry::Retrier,
    },
    reply::{Reply, WholeReply},
};

/// A layer of the stack, around a service that replies at once.
#[derive(Clone, Copy, Debug)]
pub enum Layer {
    /// The service alone.
    None,
    /// With a deadline of ten seconds.
    Deadline,
    /// Where no call is shared.
    CoalesceOff,
    /// Where calls may be shared, and none is.
    CoalesceOn,
    /// Of a thousand calls in flight.
    Limit,
    /// While it is closed.
    Breaker,
    /// While no call fails.
    Retry,
    /// While no call is late.
    Hedge,
}

/// A call, before it is made.
#[derive(Debug)]
pub struct PreparedCall(Call);

/// Makes calls.
pub struct Caller(Box<dyn FnMut(Call) -> BoxFuture<'static, Result<Reply, Failure>>>);

#[derive(Clone, Debug)]
struct ReadyService;

impl Service<Call> for ReadyService {
    type Response = Reply;
    type Error = Failure;
    type Future = Ready<Result<Reply, Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        drop(call);
        ready(Ok(Reply::Whole(WholeReply::default())))
    }
}

// === impl PreparedCall ===

impl PreparedCall {
    /// Returns a unary call of an idempotent method.
    #[expect(clippy::new_without_default, reason = "no part of the API")]
    pub fn new() -> Self {
        Self(Call::example())
    }
}

// === impl Caller ===

impl Caller {
    /// Makes calls through a layer.
    pub fn new(layer: Layer) -> Self {
        let (metrics, inner) = (Metrics::new("bench", None), ReadyService);
        let second = Duration::from_secs(1);
        let budget = || Arc::new(Budget::share(0.2, 10));
        match layer {
            Layer::None => Self::of(inner),
            Layer::Deadline => {
                let stack = CallDeadline::new(inner);
                Self(Box::new(move |call| {
                    stack.start(call.with_deadline(rpc_layers::deadline::Deadline::after(10 * second)))
                }))
            }
            Layer::CoalesceOff => Self::of(Coalesce::off(inner)),
            Layer::CoalesceOn => Self::of(Coalesce::on(inner, second, metrics)),
            Layer::Limit => Self::of(Limit::new(inner, Arc::new(Semaphore::new(1_000)))),
            Layer::Breaker => Self::of(Breaker::new(inner, Arc::new(SharedBreaker::new("bench".into(), 5, second)))),
            Layer::Retry => {
                let retrier = Retrier::new(budget(), Arc::new(EndpointSet::new(0.5)), metrics);
                Self::of(ServiceBuilder::new().retry(retrier).service(inner))
            }
            Layer::Hedge => Self::of(Hedge::new(inner, budget(), metrics)),
        }
    }

    fn of<S>(mut service: S) -> Self
    where
        S: Service<Call, Response = Reply, Error = Failure, Future: Send + 'static> + 'static,
    {
        Self(Box::new(move |call| service.call(call).boxed()))
    }

    /// Makes a call, and returns whether it has a reply. Needs tokio's timer.
    pub fn call(&mut self, call: PreparedCall) -> bool {
        (self.0)(call.0).now_or_never().is_some_and(|reply| reply.is_ok())
    }
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").finish_non_exhaustive()
    }
}
