//! Lets identical calls that are in flight at the same moment share one answer.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{
    FutureExt as _,
    future::{BoxFuture, Either, WeakShared},
};
use opentelemetry::trace::TraceContextExt as _;
use parking_lot::Mutex;
use rpc_layers::{Baggage, deadline::Deadline};
use tower::{Service, ServiceExt as _};
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::{
    call::{AnyReply, CallInner, Method, UnaryCall},
    error::Failure,
    metrics::Metrics,
};

/// Calls of the same method, message and baggage share one flight.
///
/// Each caller waits for itself, with its own deadline above this layer. The flight goes on while one of them waits,
/// and is dropped, and so reset at the backend, with the last. Its own deadline is the gateway's, not that of
/// whoever happened to come first.
///
/// The flight has a span of its own, `shared_call`, under the first caller's; each later one's `coalesced` links to it.
#[derive(Clone, Debug)]
pub(crate) struct Coalesce<S> {
    inner: S,
    flights: Option<Arc<Flights>>,
}

#[derive(Debug)]
struct Flights {
    in_flight: Mutex<HashMap<Key, Flight>>,
    started: AtomicU64,
    deadline: Duration,
    metrics: Metrics,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    method: Method,
    message: Bytes,
    /// It can change what a backend does.
    baggage: Baggage,
}

type Answer = BoxFuture<'static, Result<AnyReply, Failure>>;

/// An answer to come, for as long as somebody waits for it.
#[derive(Debug)]
struct Flight {
    answer: WeakShared<Answer>,
    span: Span,
    number: u64,
}

/// Takes a flight out of the map when it lands or is dropped.
struct FlightGuard {
    flights: Arc<Flights>,
    key: Key,
    number: u64,
}

// === impl Coalesce ===

impl<S> Coalesce<S> {
    /// Passes every call on as it is.
    pub(crate) fn off(inner: S) -> Self {
        Self { inner, flights: None }
    }

    /// Shares answers; a flight has `deadline` at most.
    pub(crate) fn on(inner: S, deadline: Duration, metrics: Metrics) -> Self {
        Self {
            inner,
            flights: Some(Arc::new(Flights {
                in_flight: Mutex::default(),
                started: AtomicU64::new(0),
                deadline,
                metrics,
            })),
        }
    }
}

impl<S> Service<UnaryCall> for Coalesce<S>
where
    S: Service<UnaryCall, Response = AnyReply, Error = Failure> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = AnyReply;
    type Error = Failure;
    type Future = Either<S::Future, BoxFuture<'static, Result<AnyReply, Failure>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        // One that joins a flight needs no place below: only a flight asks for it.
        if self.flights.is_some() { Poll::Ready(Ok(())) } else { self.inner.poll_ready(cx) }
    }

    fn call(&mut self, call: UnaryCall) -> Self::Future {
        match &self.flights {
            Some(flights) if call.inner.method.is_idempotent() => Either::Right(flights.join(&self.inner, call)),
            Some(_) => Either::Right(self.inner.clone().oneshot(call).boxed()),
            None => Either::Left(self.inner.call(call)),
        }
    }
}

// === impl Flights ===

impl Flights {
    /// Joins the flight of identical calls, or starts it.
    fn join<S>(self: &Arc<Self>, inner: &S, call: UnaryCall) -> Answer
    where
        S: Service<UnaryCall, Response = AnyReply, Error = Failure> + Clone + Send + 'static,
        S::Future: Send,
    {
        let CallInner { method, message, ctx, .. } = &*call.inner;
        let key = Key { method: *method, message: message.clone(), baggage: ctx.baggage().clone() };
        let mut in_flight = self.in_flight.lock();
        let joined = in_flight.get(&key).and_then(|flight| Some((flight.answer.upgrade()?, flight)));
        if let Some((answer, flight)) = joined {
            self.metrics.coalesced();
            let span = tracing::info_span!("coalesced", rpc.method = key.method.name());
            span.add_link(flight.span.context().span().span_context().clone());
            return answer.instrument(span).boxed();
        }
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let span = tracing::info_span!("shared_call", rpc.method = key.method.name());
        let guard = FlightGuard { flights: Arc::clone(self), key: key.clone(), number };
        let flight = lead(inner.clone(), call, self.deadline, guard);
        let answer = flight.instrument(span.clone()).boxed().shared();
        // Only one that has ended cannot be downgraded.
        if let Some(weak) = answer.downgrade() {
            in_flight.insert(key, Flight { answer: weak, span, number });
        }
        answer.boxed()
    }
}

async fn lead<S>(inner: S, call: UnaryCall, deadline: Duration, _guard: FlightGuard) -> Result<AnyReply, Failure>
where
    S: Service<UnaryCall, Response = AnyReply, Error = Failure>,
{
    inner.oneshot(call.until(Deadline::after(deadline))).await
}

// === impl FlightGuard ===

impl Drop for FlightGuard {
    fn drop(&mut self) {
        let mut in_flight = self.flights.in_flight.lock();
        // One that its last waiter dropped may have a successor by now.
        if in_flight.get(&self.key).is_some_and(|flight| flight.number == self.number) {
            in_flight.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests;
