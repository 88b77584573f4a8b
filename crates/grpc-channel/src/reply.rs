//! What a call brings back.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use tonic::{Code, Status};

use crate::{error::Failure, observer::Observer};

/// What a call brings back.
#[derive(Debug)]
pub(crate) enum Reply {
    /// All of it.
    Whole(WholeReply),
    /// Its headers; the body follows.
    Stream(Box<Response<StreamBody>>),
}

/// A reply of one message.
#[derive(Clone, Debug, Default)]
pub(crate) struct WholeReply {
    /// The message, with gRPC's prefix if the caller wants the metadata too.
    pub(crate) data: Bytes,
    /// Headers and trailers, if the caller wants them.
    pub(crate) metadata: Option<Box<ReplyMetadata>>,
}

/// What surrounds the message of a reply.
#[derive(Clone, Debug)]
pub(crate) struct ReplyMetadata {
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: Option<HeaderMap>,
}

/// The body of a reply that streams. Tells its observers how the call ended; dropping it resets the call.
pub(crate) struct StreamBody {
    inner: Pin<Box<dyn Body<Data = Bytes, Error = Status> + Send>>,
    observers: Vec<Box<dyn Observer>>,
}

/// The body of a reply, as tonic's generated clients read it.
///
/// Dropping it before its end resets the call at the backend.
#[derive(Debug)]
pub struct ResponseBody(Content);

#[derive(Debug)]
enum Content {
    Whole { data: Option<Bytes>, trailers: Option<HeaderMap> },
    Stream(StreamBody),
}

// === impl Reply ===

impl Reply {
    /// Returns a whole reply.
    ///
    /// # Errors
    ///
    /// Returns a failure of the channel itself if the reply streams: no layer asks for what it cannot take.
    pub(crate) fn into_whole(self) -> Result<WholeReply, Failure> {
        match self {
            Self::Whole(reply) => Ok(reply),
            Self::Stream(_) => Err(Failure::internal("a reply streams that was to be whole")),
        }
    }

    /// Returns the reply as an HTTP response with gRPC's framing.
    pub(crate) fn into_response(self) -> Response<ResponseBody> {
        match self {
            Self::Stream(response) => response.map(|body| ResponseBody(Content::Stream(body))),
            Self::Whole(WholeReply { data, metadata }) => {
                let (headers, trailers) =
                    metadata.map_or_else(Default::default, |metadata| (metadata.headers, metadata.trailers));
                let data = Some(data).filter(|data| !data.is_empty());
                let mut response = Response::new(ResponseBody(Content::Whole { data, trailers }));
                *response.headers_mut() = headers;
                response
            }
        }
    }
}

// === impl StreamBody ===

impl StreamBody {
    pub(crate) fn new(body: impl Body<Data = Bytes, Error = Status> + Send + 'static) -> Self {
        Self { inner: Box::pin(body), observers: Vec::new() }
    }

    /// Tells this observer too how the call ends.
    pub(crate) fn observe(&mut self, observer: impl Observer + 'static) {
        self.observers.push(Box::new(observer));
    }

    fn end(&mut self, result: Result<(), &Failure>) {
        for mut observer in self.observers.drain(..) {
            observer.ended(result);
        }
    }
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(self.inner.as_mut().poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    match Status::from_header_map(trailers) {
                        Some(status) if status.code() != Code::Ok => self.end(Err(&Failure::of_attempt(status))),
                        Some(_) | None => self.end(Ok(())),
                    }
                }
            }
            Some(Err(status)) => {
                let failure = Failure::of_attempt(status.clone());
                self.end(Err(&failure));
                return Poll::Ready(Some(Err(failure.into())));
            }
            None => self.end(Ok(())),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}

impl fmt::Debug for StreamBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamBody").field("observers", &self.observers.len()).finish_non_exhaustive()
    }
}

// === impl ResponseBody ===

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match &mut self.0 {
            Content::Stream(body) => Pin::new(body).poll_frame(cx),
            Content::Whole { data, trailers } => {
                let frame = data.take().map(Frame::data).or_else(|| trailers.take().map(Frame::trailers));
                Poll::Ready(frame.map(Ok))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Content::Stream(body) => body.is_end_stream(),
            Content::Whole { data, trailers } => data.is_none() && trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Stream(_) => SizeHint::default(),
            Content::Whole { data, .. } => SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64)),
        }
    }
}
