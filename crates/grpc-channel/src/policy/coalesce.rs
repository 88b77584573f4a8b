//! Lets identical calls that are in flight at the same moment share one reply.

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
    FutureExt as _, TryFutureExt as _,
    future::{BoxFuture, Either, WeakShared},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use rpc_layers::{Baggage, deadline::Deadline};
use tower::{Service, ServiceExt as _};
use tracing::{Instrument as _, Span};

use crate::{
    call::{Call, CallInner, Wanted},
    error::Failure,
    metrics::Metrics,
    reply::{Reply, WholeReply},
    request_body::RequestBody,
};

/// Unary calls of an idempotent method with the same message, metadata and baggage share one flight.
///
/// Each caller waits for itself, with its own deadline above this layer. The flight goes on while one of them waits. With
/// the last it is dropped, and so reset at the backend. It has a deadline of its own, not that of its first caller.
///
/// The flight's span `shared_call` is a child of the first caller's span; the span `coalesced` of each later caller links
/// to it.
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

/// All that can change what a backend does with a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    path: String,
    message: Bytes,
    metadata: Vec<(HeaderName, HeaderValue)>,
    is_metadata_wanted: bool,
    baggage: Baggage,
}

type SharedReply = BoxFuture<'static, Result<WholeReply, Failure>>;

/// A reply to come, for as long as a caller waits for it.
#[derive(Debug)]
struct Flight {
    reply: WeakShared<SharedReply>,
    span: Span,
    number: u64,
}

/// Removes a flight from the map when it ends or is dropped.
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

    /// Shares replies. A flight takes `deadline` at most.
    pub(crate) fn on(inner: S, deadline: Duration, metrics: Metrics) -> Self {
        let flights = Flights { in_flight: Mutex::default(), started: AtomicU64::new(0), deadline, metrics };
        Self { inner, flights: Some(Arc::new(flights)) }
    }
}

impl<S> Service<Call> for Coalesce<S>
where
    S: Service<Call, Response = Reply, Error = Failure> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Reply;
    type Error = Failure;
    type Future = Either<S::Future, BoxFuture<'static, Result<Reply, Failure>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        // A call that joins a flight takes no place below: only a flight asks for it.
        if self.flights.is_some() { Poll::Ready(Ok(())) } else { self.inner.poll_ready(cx) }
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let Some(flights) = &self.flights else { return Either::Left(self.inner.call(call)) };
        Either::Right(match Key::of(&call) {
            Some(key) => flights.join(key, &self.inner, call).map_ok(Reply::Whole).boxed(),
            None => self.inner.clone().oneshot(call).boxed(),
        })
    }
}

// === impl Flights ===

impl Flights {
    /// Joins the flight of identical calls, or leads a new one.
    fn join<S>(self: &Arc<Self>, key: Key, inner: &S, call: Call) -> SharedReply
    where
        S: Service<Call, Response = Reply, Error = Failure> + Clone + Send + 'static,
        S::Future: Send,
    {
        let mut in_flight = self.in_flight.lock();
        let joined = in_flight.get(&key).and_then(|flight| Some((flight.reply.upgrade()?, flight)));
        if let Some((reply, flight)) = joined {
            self.metrics.coalesced();
            let span = tracing::info_span!("coalesced", rpc.method = call.inner.method.name());
            rpc_layers::trace::link(&span, &flight.span);
            return reply.instrument(span).boxed();
        }
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let span = tracing::info_span!("shared_call", rpc.method = call.inner.method.name());
        let guard = FlightGuard { flights: Arc::clone(self), key: key.clone(), number };
        let reply = lead(inner.clone(), call, self.deadline, guard).instrument(span.clone()).boxed().shared();
        // Only a future that has ended cannot be downgraded.
        if let Some(weak) = reply.downgrade() {
            in_flight.insert(key, Flight { reply: weak, span, number });
        }
        reply.boxed()
    }
}

async fn lead<S>(inner: S, call: Call, deadline: Duration, _guard: FlightGuard) -> Result<WholeReply, Failure>
where
    S: Service<Call, Response = Reply, Error = Failure>,
{
    inner.oneshot(call.with_deadline(Deadline::after(deadline))).await?.into_whole()
}

// === impl Key ===

impl Key {
    /// Returns the key of a call that may share a reply.
    fn of(call: &Call) -> Option<Self> {
        let CallInner { method, request: RequestBody::Whole(message), wanted, ctx, .. } = &*call.inner else {
            return None;
        };
        let metadata =
            |headers: &HeaderMap| headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect::<Vec<_>>();
        (call.is_unary() && call.is_idempotent()).then(|| Self {
            path: method.path().to_owned(),
            message: message.clone(),
            metadata: call.inner.metadata.as_deref().map(metadata).unwrap_or_default(),
            is_metadata_wanted: *wanted == Wanted::Whole,
            baggage: ctx.baggage().clone(),
        })
    }
}

// === impl FlightGuard ===

impl Drop for FlightGuard {
    fn drop(&mut self) {
        let mut in_flight = self.flights.in_flight.lock();
        // A flight that its last caller dropped may have a successor by now.
        if in_flight.get(&self.key).is_some_and(|flight| flight.number == self.number) {
            in_flight.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests;
