//! One call, from its request to the end of its reply.

use std::{
    any::Any,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, server::SendResponse};
use http::{Response, StatusCode};
use tonic::{Code, Status, body::Body};

use super::{calls::CallInFlight, reply::Reply, reply_timeout::Expiry};
use crate::routes::RouteFuture;

/// A call that is polled in the task of its connection. It ends when it has been answered, or is reset.
///
/// A handler that panics ends its own call alone.
pub(super) struct Call {
    // Dropped first: what it holds is given back before the call is not counted any longer.
    state: State,
    expiry: Expiry,
    in_flight: CallInFlight,
}

enum State {
    Answering { answer: RouteFuture, respond: SendResponse<Bytes> },
    Sending(Reply),
    Ended,
}

// === impl Call ===

impl Call {
    pub(super) fn new(answer: RouteFuture, respond: SendResponse<Bytes>, in_flight: CallInFlight) -> Self {
        Self { state: State::Answering { answer, respond }, expiry: Expiry::default(), in_flight }
    }

    fn poll_to_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Hundreds of thousands of calls that are reset at once (CVE-2023-44487) would otherwise be begun, with a span and
        // calls to others.
        if !self.in_flight.is_started() {
            if self.state.poll_reset(cx).is_ready() {
                return Poll::Ready(());
            }
            self.in_flight.start();
        }
        // First of all the handler: one that waits for the rest of its request learns that there will be none.
        if self.poll_handler(cx).is_ready() {
            return Poll::Ready(());
        }
        self.state.poll_reset(cx)
    }

    fn poll_handler(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let State::Answering { answer, .. } = &mut self.state {
            let Ok(response) = ready!(self.expiry.set_during(|| answer.as_mut().poll(cx)));
            if is_refusal(&response) {
                self.in_flight.refuse();
            }
            self.state.respond(response);
        }
        if let State::Sending(reply) = &mut self.state {
            ready!(reply.poll_send(&self.expiry, cx));
        }
        Poll::Ready(())
    }
}

impl Future for Call {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        match catch_unwind(AssertUnwindSafe(|| this.poll_to_end(cx))) {
            Ok(polled) => polled,
            Err(panic) => {
                this.state.fail(&*panic);
                Poll::Ready(())
            }
        }
    }
}

// === impl State ===

impl State {
    /// Returns `Ready` when the call has been reset, or the connection has failed.
    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Answering { respond, .. } => respond.poll_reset(cx).map(|_| ()),
            Self::Sending(reply) => reply.poll_reset(cx),
            Self::Ended => Poll::Ready(()),
        }
    }

    /// Sends the headers of the response.
    fn respond(&mut self, response: Response<Body>) {
        let Self::Answering { answer, mut respond } = mem::replace(self, Self::Ended) else { return };
        drop(answer);
        let (head, body) = response.into_parts();
        let is_end = http_body::Body::is_end_stream(&body);
        match respond.send_response(Response::from_parts(head, ()), is_end) {
            Ok(stream) if !is_end => *self = Self::Sending(Reply::new(stream, body)),
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "a reply could not be sent");
                respond.send_reset(Reason::INTERNAL_ERROR);
            }
        }
    }

    /// Ends a call whose handler has panicked.
    fn fail(&mut self, panic: &(dyn Any + Send)) {
        match mem::replace(self, Self::Ended) {
            Self::Answering { answer, respond } => {
                drop_quietly(answer);
                refuse_for_panic(respond, panic);
            }
            Self::Sending(mut reply) => {
                log(panic);
                reply.reset(Reason::INTERNAL_ERROR);
                drop_quietly(reply);
            }
            Self::Ended => log(panic),
        }
    }
}

fn log(panic: &(dyn Any + Send)) {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text, "a handler panicked");
}

/// Answers a call whose handler has panicked.
pub(super) fn refuse_for_panic(mut respond: SendResponse<Bytes>, panic: &(dyn Any + Send)) {
    log(panic);
    let response = Status::internal("the handler of the request failed").into_http::<()>();
    if respond.send_response(response, true).is_err() {
        respond.send_reset(Reason::INTERNAL_ERROR);
    }
}

/// Drops what has panicked, and may do so again.
fn drop_quietly<T>(value: T) {
    // The hook for panics has reported it.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(value)));
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
    use super::*;

    #[test]
    fn calls_that_are_refused_are_told_by_their_answer() {
        let http = |status| Response::builder().status(status).body(Body::empty()).unwrap();
        let grpc = |code| Status::new(code, "").into_http();
        let responses = [
            (http(200), false),
            (http(405), true),
            (grpc(Code::NotFound), false),
            (grpc(Code::Unauthenticated), true),
            (grpc(Code::ResourceExhausted), true),
        ];
        for (response, refused) in responses {
            assert_eq!(is_refusal(&response), refused, "{response:?}");
        }
    }
}
