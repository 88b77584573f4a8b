//! Makes calls on a connection, and reads their replies: whole, or as they come.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use h2::RecvStream;
use http::{Request, Response};
use http_body::{Body, Frame};
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;
use tower::Service;

use crate::{
    error::lost,
    request_body::RequestBody,
    transport::{
        collect::{CollectReply, Collected},
        connection::{Connection, StreamWindow},
        framing::{check_response, is_trailers_only},
    },
};

/// Calls whose reply is read to its end before it is returned.
#[derive(Clone, Debug)]
pub(crate) struct WholeReplies {
    pub(crate) connection: Connection,
    /// Whether the caller wants the headers that come before the data. A reply has none of them otherwise, unless
    /// they are all of it.
    pub(crate) keeps_headers: bool,
}

/// Calls whose reply is returned with its headers, and read as it comes.
#[derive(Clone, Debug)]
pub(crate) struct StreamedReplies(pub(crate) Connection);

/// The body of a reply as it comes. Dropping it resets the call.
#[derive(Debug)]
pub(crate) struct IncomingBody {
    stream: RecvStream,
    is_data_over: bool,
    is_over: bool,
    _window: StreamWindow,
    /// Sends the rest of the request until the reply has ended: the server reads no more then.
    sending: Option<AbortOnDropHandle<()>>,
}

// === impl WholeReplies ===

impl Service<Request<RequestBody>> for WholeReplies {
    type Response = Response<Collected>;
    type Error = Status;
    type Future = CollectReply;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        // A connection that is closed returns the call as unsent.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        CollectReply::new(self.connection.send(request), self.keeps_headers)
    }
}

// === impl StreamedReplies ===

impl Service<Request<RequestBody>> for StreamedReplies {
    type Response = Response<IncomingBody>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<IncomingBody>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let window = self.0.stream_window();
        let sent = self.0.send(request);
        Box::pin(async move {
            let sent = sent?;
            let (head, stream) = sent.response.await.map_err(lost)?.into_parts();
            check_response(head.status, &head.headers)?;
            let is_over = is_trailers_only(&head.headers);
            let sending = sent.sending.filter(|_| !is_over);
            let body = IncomingBody { stream, is_data_over: is_over, is_over, _window: window, sending };
            Ok(Response::from_parts(head, body))
        })
    }
}

// === impl IncomingBody ===

impl IncomingBody {
    fn end(&mut self) {
        self.is_over = true;
        self.sending = None;
    }
}

impl Body for IncomingBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if !self.is_data_over {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(chunk)) => {
                    let _ = self.stream.flow_control().release_capacity(chunk.len());
                    return Poll::Ready(Some(Ok(Frame::data(chunk))));
                }
                Some(Err(error)) => {
                    self.end();
                    return Poll::Ready(Some(Err(lost(error))));
                }
                None => self.is_data_over = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        self.end();
        Poll::Ready(match trailers {
            Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => Some(Err(lost(error))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}
