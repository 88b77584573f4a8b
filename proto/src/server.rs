//! Answers the RPCs of the generated servers.
//!
//! tonic's own `Grpc` takes any stream of messages through buffers of 8 KiB, one for what is read and one for what is
//! written, and boxes the body of each. A unary call as nearly all are needs none of that.

use std::{
    any::Any,
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::{BufMut as _, Bytes};
use futures::{FutureExt as _, future::Either};
use http_body::{Body as _, Frame};
use prost::Message;
use tonic::{
    Response, Status,
    body::Body,
    codec::EnabledCompressionEncodings,
    codegen::{StdError, http},
    metadata::GRPC_CONTENT_TYPE,
    server::{ServerStreamingService, UnaryService},
};

use crate::codec::Codec;

/// What stands before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// The longest request in bytes, unless the server says otherwise: tonic's own limit.
const MAX_REQUEST: usize = 4 << 20;

const GRPC_ENCODING: &str = "grpc-encoding";

/// tonic's `Grpc`, which the generated servers would use, with a shorter way for unary calls: a request of one uncompressed
/// message in one frame is decoded where it was received, and its reply is encoded once, into as many bytes as it has.
///
/// All that is otherwise goes to tonic as it came: errors, and what a server's settings ask for, are tonic's.
#[derive(Debug)]
pub struct Grpc<T, U> {
    tonic: tonic::server::Grpc<Codec<T, U>>,
    max_request: usize,
    /// A setting asks for what only tonic does: it compresses replies, or limits their length.
    needs_tonic: bool,
}

/// What became of a request.
enum Started<F, B> {
    /// The service answers it.
    Answer(F),
    /// It is for tonic to answer: some of it has been read.
    Read(http::Request<Body>),
    /// It is for tonic to answer.
    Other(http::Request<B>),
}

/// What has been read of a request's body, and the rest of it.
struct Replay {
    frames: [Option<Result<Frame<Bytes>, Status>>; 2],
    rest: Body,
}

/// The body of a reply: its message, and that all went well.
struct Reply {
    /// `None` once it is sent.
    message: Option<Bytes>,
    is_over: bool,
}

// === impl Grpc ===

impl<T, U> Grpc<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    /// Answers with this codec, as the generated code does.
    pub fn new(codec: Codec<T, U>) -> Self {
        Self { tonic: tonic::server::Grpc::new(codec), max_request: MAX_REQUEST, needs_tonic: false }
    }

    /// Applies the server's settings of compression.
    #[must_use]
    pub fn apply_compression_config(
        mut self,
        accept: EnabledCompressionEncodings,
        mut send: EnabledCompressionEncodings,
    ) -> Self {
        self.tonic = self.tonic.apply_compression_config(accept, send);
        self.needs_tonic |= send.pop().is_some();
        self
    }

    /// Applies the server's limits on the length of messages.
    #[must_use]
    pub fn apply_max_message_size_config(mut self, decoding: Option<usize>, encoding: Option<usize>) -> Self {
        self.tonic = self.tonic.apply_max_message_size_config(decoding, encoding);
        self.max_request = decoding.unwrap_or(MAX_REQUEST);
        self.needs_tonic |= encoding.is_some();
        self
    }

    /// Answers a unary call.
    ///
    /// Thousands of these futures wait at once. This one is no larger than the service's own: what has been read of the
    /// request is not kept while the service answers.
    pub fn unary<'a, S, B>(
        &'a mut self,
        mut service: S,
        request: http::Request<B>,
    ) -> impl Future<Output = http::Response<Body>> + Send + use<'a, T, U, S, B>
    where
        S: UnaryService<U, Response = T> + Send + 'a,
        S::Future: Send,
        B: http_body::Body<Error: Into<StdError> + Send> + Send + 'static,
    {
        match self.start(&mut service, request) {
            Started::Answer(answer) => Either::Left(answer.map(|answer| answer.map_or_else(Status::into_http, reply))),
            // In boxes, as they are rare and large.
            Started::Read(request) => Either::Right(self.tonic.unary(service, request).boxed()),
            Started::Other(request) => Either::Right(self.tonic.unary(service, request).boxed()),
        }
    }

    /// Passes a request to the service, if its one message is there, or else returns it for tonic.
    fn start<S, B>(&self, service: &mut S, request: http::Request<B>) -> Started<S::Future, B>
    where
        S: UnaryService<U, Response = T>,
        B: 'static,
    {
        let mut request = Some(request);
        let plain = (&mut request as &mut dyn Any).downcast_mut::<Option<http::Request<Body>>>();
        let is_plain = |request: &http::Request<Body>| !request.headers().contains_key(GRPC_ENCODING);
        let plain = plain.filter(|_| !self.needs_tonic).and_then(|request| request.take_if(|it| is_plain(it)));
        let (parts, body) = match (plain, request) {
            (Some(plain), _) => plain.into_parts(),
            (None, Some(request)) => return Started::Other(request),
            (None, None) => unreachable!("a request that was not taken is there"),
        };
        let mut body = Replay { frames: [None, None], rest: body };
        match body.read_now(self.max_request) {
            Some(message) => {
                let request = http::Request::from_parts(parts, message);
                Started::Answer(service.call(tonic::Request::from_http(request)))
            }
            None => Started::Read(http::Request::from_parts(parts, Body::new(body))),
        }
    }

    /// Answers a call whose reply streams.
    pub async fn server_streaming<S, B>(&mut self, service: S, request: http::Request<B>) -> http::Response<Body>
    where
        S: ServerStreamingService<U, Response = T>,
        S::ResponseStream: Send + 'static,
        B: http_body::Body + Send + 'static,
        B::Error: Into<StdError> + Send,
    {
        self.tonic.server_streaming(service, request).await
    }
}

/// Returns the HTTP response of a reply.
fn reply<T: Message>(response: Response<T>) -> http::Response<Body> {
    let (metadata, message, extensions) = response.into_parts();
    let message = match frame(&message) {
        Ok(message) => message,
        Err(status) => return status.into_http(),
    };
    let mut response = http::Response::new(Body::new(Reply { message: Some(message), is_over: false }));
    *response.extensions_mut() = extensions;
    let headers = response.headers_mut();
    *headers = metadata.into_headers();
    if !headers.is_empty() {
        // They are gRPC's own, as tonic has it.
        for reserved in ["te", "content-type", "grpc-message", "grpc-message-type", "grpc-status"] {
            headers.remove(reserved);
        }
    }
    headers.insert(http::header::CONTENT_TYPE, GRPC_CONTENT_TYPE);
    response
}

/// Encodes a message with its prefix.
fn frame(message: &impl Message) -> Result<Bytes, Status> {
    let length = message.encoded_len();
    let too_long = |_| Status::resource_exhausted(format!("a reply of {length} bytes is too long: 4 GiB are allowed"));
    let prefix = u32::try_from(length).map_err(too_long)?;
    // It never grows, so that it becomes `Bytes` without another allocation.
    let mut frame = Vec::with_capacity(PREFIX + length);
    frame.put_u8(0);
    frame.put_u32(prefix);
    message.encode_raw(&mut frame);
    Ok(frame.into())
}

// === impl Replay ===

impl Replay {
    /// Reads the one message of a request. Returns `None` if it is for tonic to read: it does not consist of one frame, has
    /// not arrived yet (the servers of `service-kit` pass on requests that have), or something is wrong with it.
    fn read_now<U: Message + Default>(&mut self, max: usize) -> Option<U> {
        // Whoever reads on registers a waker of its own.
        let cx = &mut Context::from_waker(Waker::noop());
        for frame in &mut self.frames {
            if self.rest.is_end_stream() {
                break;
            }
            let Poll::Ready(read) = Pin::new(&mut self.rest).poll_frame(cx) else { return None };
            *frame = read;
            if !matches!(frame, Some(Ok(_))) {
                self.rest = Body::empty();
            }
        }
        let [Some(Ok(frame)), None] = &self.frames else { return None };
        let data = frame.data_ref()?;
        match **data {
            [0, a, b, c, d, ref message @ ..] if u32::from_be_bytes([a, b, c, d]) as usize == message.len() => {}
            _ => return None,
        }
        // With an error, tonic finds the same, and says it.
        if data.len() - PREFIX > max { None } else { U::decode(data.slice(PREFIX..)).ok() }
    }
}

impl http_body::Body for Replay {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let read = self.frames.iter_mut().find_map(Option::take);
        if read.is_some() { Poll::Ready(read) } else { Pin::new(&mut self.rest).poll_frame(cx) }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.iter().all(Option::is_none) && self.rest.is_end_stream()
    }
}

// === impl Reply ===

impl http_body::Body for Reply {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        if mem::replace(&mut self.is_over, true) {
            return Poll::Ready(None);
        }
        let mut trailers = http::HeaderMap::with_capacity(1);
        trailers.insert(Status::GRPC_STATUS, http::HeaderValue::from_static("0"));
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}

#[cfg(test)]
mod tests;
