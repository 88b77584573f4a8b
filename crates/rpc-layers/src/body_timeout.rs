//! A bound on the time in which a request's message arrives, before the request takes anything.
//!
//! The headers of a request cost its caller a hundred bytes. If they were enough for a permit of the
//! [limit on requests in flight](crate::limit), a caller that sends nothing else would hold it until the deadline.
//!
//! # Layout
//!
//! * [`BodyTimeoutLayer`], its service and its response future.
//! * `receive`: reads a request's body ahead.
//! * `memory_quota`: bounds the memory of requests that have not arrived to their end.

mod memory_quota;
mod receive;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    mem,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use http::{Request, Response, request::Parts};
use opentelemetry::metrics::{Counter, Meter};
use pin_project_lite::pin_project;
use prost::DecodeError;
use tokio::time::{Instant, Sleep, sleep};
use tonic::{Code, Status, body::Body, server::NamedService};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::{Layer, Service};

use self::{memory_quota::MemoryQuota, receive::Receive};
use crate::{
    caller_key::CallerKeys,
    deadline::{Received, timeout_of},
    streaming_methods::StreamingMethods,
};

/// Calls the service when the request has arrived to its end, or 16 KiB of its body have. Should be outside of every layer
/// that gives a request something.
///
/// - A request that arrives at once, as nearly all do, is passed on in [`Service::call`], and its body is not copied.
/// - One that does not arrive within the time, or its caller's `grpc-timeout` if that is shorter, is answered with
///   `DEADLINE_EXCEEDED` and the `google.rpc.ErrorInfo` `REQUEST_TOO_SLOW`. Until then it costs its headers and at most
///   32 KiB.
/// - All requests that have not arrived to their end have 24 MiB together, and one of them a third of what is left of
///   that, but 1 KiB in any case. A fifth is for connections, addresses and identities that have few. One that is larger
///   is answered with `RESOURCE_EXHAUSTED`, a `google.rpc.ErrorInfo` `TOO_MANY_BYTES_IN_MEMORY` and a
///   `google.rpc.RetryInfo`.
/// - The time that it took counts for the layers of [`deadline`](crate::deadline), but no span has it: the trace starts
///   when the service is called.
/// - Requests that stream are passed on at once, and have no such bounds: their handler may be the first to speak, and
///   many clients send nothing before they have the reply's headers.
#[derive(Clone, Debug)]
pub struct BodyTimeoutLayer {
    timeout: Duration,
    streaming: StreamingMethods,
    memory: MemoryQuota,
    /// `None` if no meter was given.
    late: Option<Counter<u64>>,
}

/// The service of [`BodyTimeoutLayer`].
#[derive(Clone, Debug)]
pub struct BodyTimeout<S> {
    inner: S,
    layer: BodyTimeoutLayer,
}

pin_project! {
    /// The response future of [`BodyTimeout`]. Dropping it drops what has arrived.
    pub struct BodyTimeoutFuture<S, F> {
        #[pin]
        state: State<S, F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F> {
        // In a box, because it is rare and large.
        Waiting { waiting: Pin<Box<Waiting<S>>> },
        Called { #[pin] call: F },
    }
}

pin_project! {
    /// A request of which something is missing.
    struct Waiting<S> {
        inner: S,
        // `None` when it has arrived.
        request: Option<(Parts, Receive)>,
        since: Instant,
        timeout: Duration,
        #[pin]
        timer: Sleep,
        late: Option<Counter<u64>>,
    }
}

// === impl BodyTimeoutLayer ===

impl BodyTimeoutLayer {
    /// Creates a layer for services with the methods of an encoded `google.protobuf.FileDescriptorSet`. Requests of other
    /// methods do not stream. Counts late requests in `fanout.server.late_bodies` if `meter` is given.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes cannot be decoded as one.
    pub fn decode(timeout: Duration, descriptors: &[u8], meter: Option<&Meter>) -> Result<Self, DecodeError> {
        let streaming = StreamingMethods::decode(descriptors)?;
        Ok(Self { streaming, ..Self::new(timeout, meter) })
    }

    /// Creates a layer for services without a method whose requests stream. Counts late requests in
    /// `fanout.server.late_bodies` if `meter` is given.
    pub fn new(timeout: Duration, meter: Option<&Meter>) -> Self {
        let late = meter.map(|meter| {
            let late = meter
                .u64_counter("fanout.server.late_bodies")
                .with_unit("{request}")
                .with_description("Requests of which only a part arrived in time")
                .build();
            // A series that started with the first late request would hide it: a rate needs an earlier value.
            late.add(0, &[]);
            late
        });
        Self { timeout, streaming: StreamingMethods::default(), memory: MemoryQuota::default(), late }
    }
}

impl<S> Layer<S> for BodyTimeoutLayer {
    type Service = BodyTimeout<S>;

    fn layer(&self, inner: S) -> BodyTimeout<S> {
        BodyTimeout { inner, layer: self.clone() }
    }
}

// === impl BodyTimeout ===

impl<S: NamedService> NamedService for BodyTimeout<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, R> Service<Request<Body>> for BodyTimeout<S>
where
    S: Service<Request<Body>, Response = Response<R>, Error = Infallible> + Clone,
    R: Default,
{
    type Response = Response<R>;
    type Error = Infallible;
    type Future = BodyTimeoutFuture<S, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let BodyTimeoutLayer { timeout, streaming, memory, late } = &self.layer;
        if http_body::Body::is_end_stream(request.body()) || streaming.contains(request.uri()) {
            return BodyTimeoutFuture { state: State::Called { call: self.inner.call(request) } };
        }
        let (parts, body) = request.into_parts();
        let mut body = Receive::new(body, memory.of_request(CallerKeys::of(&parts.extensions)));
        let state = if body.poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            State::Called { call: self.inner.call(Request::from_parts(parts, body.into_body())) }
        } else {
            // The deadline layer answers a malformed header.
            let callers = timeout_of(&parts.headers).ok().flatten();
            let timeout = callers.map_or(*timeout, |callers| callers.min(*timeout));
            // The one that is ready.
            let clone = self.inner.clone();
            let waiting = Waiting {
                inner: mem::replace(&mut self.inner, clone),
                request: Some((parts, body)),
                since: Instant::now(),
                timeout,
                timer: sleep(timeout),
                late: late.clone(),
            };
            State::Waiting { waiting: Box::pin(waiting) }
        };
        BodyTimeoutFuture { state }
    }
}

// === impl BodyTimeoutFuture ===

impl<S, R> Future for BodyTimeoutFuture<S, S::Future>
where
    S: Service<Request<Body>, Response = Response<R>, Error = Infallible>,
    R: Default,
{
    type Output = Result<Response<R>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProj::Waiting { waiting } => match ready!(waiting.as_mut().poll(cx)) {
                    Ok(call) => state.set(State::Called { call }),
                    Err(status) => return Poll::Ready(Ok(status.into_http())),
                },
                StateProj::Called { call } => return call.poll(cx),
            }
        }
    }
}

impl<S: Service<Request<Body>>> Waiting<S> {
    /// Calls the service when the request has arrived. Returns the status of one that is late.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<S::Future, Status>> {
        let this = self.project();
        let (_, body) = this.request.as_mut().expect("not polled after completion");
        if body.poll(cx).is_pending() {
            ready!(this.timer.poll(cx));
            if let Some(late) = this.late {
                late.add(1, &[]);
            }
            return Poll::Ready(Err(late_status(*this.timeout)));
        }
        let (parts, body) = this.request.take().expect("it was there just now");
        let mut request = Request::from_parts(parts, body.into_body());
        request.extensions_mut().insert(Received::at(*this.since));
        Poll::Ready(Ok(this.inner.call(request)))
    }
}

fn late_status(timeout: Duration) -> Status {
    let details = ErrorDetails::with_error_info("REQUEST_TOO_SLOW", "fanout", []);
    let message = format!("the request's message did not arrive within {} ms", timeout.as_millis());
    Status::with_error_details(Code::DeadlineExceeded, message, details)
}
