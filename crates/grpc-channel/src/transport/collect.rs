//! Reads a reply to its end.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{RecvStream, client::ResponseFuture};
use http::{HeaderMap, Response};
use http_body::{Body, Frame};
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use crate::{
    error::lost,
    transport::{
        framing::{MAX_REPLY, PREFIX, check_response, is_trailers_only, joined},
        request::Sent,
    },
};

/// Data shorter than this, in bytes, is copied rather than keeping the buffer that it was read into.
const SMALL: usize = 1 << 10;

/// The data and trailers of a whole reply.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// The message with its prefix.
    pub(crate) data: Option<Bytes>,
    pub(crate) trailers: Option<HeaderMap>,
}

/// A whole reply to come. Dropping it resets the call.
///
/// # Errors
///
/// Ends with the status if the call was not sent, the stream breaks, the reply is longer than 4 MiB, or it is not gRPC.
#[derive(Debug)]
pub(crate) struct CollectReply {
    state: State,
    keeps_headers: bool,
    /// Sends the rest of the request until the reply has ended: the server reads no more then.
    _sending: Option<AbortOnDropHandle<()>>,
}

#[derive(Debug)]
enum State {
    /// Waits for the headers, as thousands may.
    Waiting(ResponseFuture),
    /// Has headers, and not yet all of the rest. In a box, which a reply that arrives in one piece does without.
    Reading(Box<Reading>),
    /// The connection took no more calls.
    Unsent(Option<Status>),
}

#[derive(Debug)]
struct Reading {
    head: Response<()>,
    stream: RecvStream,
    data: Bytes,
    is_data_over: bool,
}

// === impl CollectReply ===

impl CollectReply {
    /// Reads the reply to a request. `keeps_headers` is whether the caller wants those that come before the data.
    pub(crate) fn new(sent: Result<Sent, Status>, keeps_headers: bool) -> Self {
        let (state, sending) = match sent {
            Ok(Sent { response, sending }) => (State::Waiting(response), sending),
            Err(status) => (State::Unsent(Some(status)), None),
        };
        Self { state, keeps_headers, _sending: sending }
    }
}

impl Future for CollectReply {
    type Output = Result<Response<Collected>, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            State::Waiting(response) => {
                let (mut head, stream) = ready!(Pin::new(response).poll(cx)).map_err(lost)?.into_parts();
                check_response(head.status, &head.headers)?;
                if is_trailers_only(&head.headers) {
                    return Poll::Ready(Ok(Response::from_parts(head, Collected::default())));
                }
                if !self.keeps_headers {
                    head.headers = HeaderMap::new();
                }
                let head = Response::from_parts(head, ());
                let mut reading = Reading { head, stream, data: Bytes::new(), is_data_over: false };
                let reply = reading.poll(cx);
                if reply.is_pending() {
                    self.state = State::Reading(Box::new(reading));
                }
                reply
            }
            State::Reading(reading) => reading.poll(cx),
            State::Unsent(status) => Poll::Ready(Err(status.take().expect("not polled after completion"))),
        }
    }
}

// === impl Reading ===

impl Reading {
    /// Reads what there is of the reply. If a small part of it is first, keeps that without the buffer that it was read into:
    /// when a burst of replies fills the connection's window, servers send the headers of all of them, and the first byte of
    /// many, so that thousands of replies wait here for the window.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<Collected>, Status>> {
        let is_first = self.data.is_empty();
        let reply = self.poll_whole(cx);
        if is_first && reply.is_pending() && self.data.len() < SMALL {
            self.data = Bytes::copy_from_slice(&self.data);
        }
        reply
    }

    fn poll_whole(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<Collected>, Status>> {
        while !self.is_data_over {
            let Some(chunk) = ready!(self.stream.poll_data(cx)) else {
                self.is_data_over = true;
                break;
            };
            let chunk = chunk.map_err(lost)?;
            // Fails for a stream that has ended, which needs no room.
            let _ = self.stream.flow_control().release_capacity(chunk.len());
            if self.data.len() + chunk.len() > PREFIX + MAX_REPLY {
                return Poll::Ready(Err(Status::out_of_range(format!("the reply is longer than {MAX_REPLY} bytes"))));
            }
            // Most replies are one frame, and stay where they were received.
            self.data = if self.data.is_empty() { chunk } else { joined(mem::take(&mut self.data), &chunk) };
        }
        let trailers = ready!(self.stream.poll_trailers(cx)).map_err(lost)?;
        let data = Some(mem::take(&mut self.data));
        Poll::Ready(Ok(mem::take(&mut self.head).map(|()| Collected { data, trailers })))
    }
}

// === impl Collected ===

impl Body for Collected {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(data) = self.data.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }
}

#[cfg(test)]
mod tests {
    use futures::poll;
    use http::Request;
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn a_small_part_that_waits_for_the_rest_is_a_part_of_the_whole() {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (client, server) = tokio::join!(h2::client::handshake(ours), h2::server::handshake(theirs));
        let ((mut client, connection), mut server) = (client.unwrap(), server.unwrap());
        tokio::spawn(connection);
        let (response, _) = client.send_request(Request::new(()), true).unwrap();
        let (_, mut respond) = server.accept().await.unwrap().unwrap();
        tokio::spawn(async move { server.accept().await.is_none() });
        let mut reply = CollectReply::new(Ok(Sent { response, sending: None }), true);

        let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        let mut body = respond.send_response(head, false).unwrap();
        body.send_data("a".into(), false).unwrap();
        while !matches!(&reply.state, State::Reading(reading) if reading.data == "a") {
            assert!(poll!(&mut reply).is_pending());
            yield_now().await;
        }
        body.send_data("bc".into(), false).unwrap();
        body.send_trailers(HeaderMap::new()).unwrap();
        assert_eq!(reply.await.unwrap().into_body().data.unwrap(), "abc");
    }
}
