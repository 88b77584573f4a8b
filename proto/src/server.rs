//! Answers the RPCs of the generated servers.
//!
//! tonic's own `Grpc` takes any stream of messages through buffers of 8 KiB, one for what is read and one for what is
//! written, and boxes the body of each. A unary call as nearly all are needs none of that.

use std::{
    any::Any,
    future::poll_fn,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{BufMut as _, Bytes};
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
    #[expect(clippy::missing_panics_doc, reason = "a request that was not taken is there")]
    pub async fn unary<S, B>(&mut self, mut service: S, request: http::Request<B>) -> http::Response<Body>
    where
        S: UnaryService<U, Response = T>,
        B: http_body::Body + Send + 'static,
        B::Error: Into<StdError> + Send,
    {
        let mut request = Some(request);
        let plain = (&mut request as &mut dyn Any).downcast_mut::<Option<http::Request<Body>>>();
        let is_plain = |request: &http::Request<Body>| !request.headers().contains_key(GRPC_ENCODING);
        let Some(request) = plain.filter(|_| !self.needs_tonic).and_then(|request| request.take_if(|it| is_plain(it)))
        else {
            // In a box, as it is rare and large.
            return Box::pin(self.tonic.unary(service, request.expect("it was not taken"))).await;
        };
        let (parts, body) = request.into_parts();
        let mut body = Replay { frames: [None, None], rest: body };
        let Some(message) = body.read(self.max_request).await else {
            let request = http::Request::from_parts(parts, Body::new(body));
            return Box::pin(self.tonic.unary(service, request)).await;
        };
        let request = http::Request::from_parts(parts, message);
        match service.call(tonic::Request::from_http(request)).await {
            Ok(response) => reply(response),
            Err(status) => status.into_http(),
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
    /// Reads the one message of a request. Returns `None` if it is for tonic to read: it does not consist of one frame, or
    /// something is wrong with it.
    async fn read<U: Message + Default>(&mut self, max: usize) -> Option<U> {
        for frame in &mut self.frames {
            if self.rest.is_end_stream() {
                break;
            }
            *frame = poll_fn(|cx| Pin::new(&mut self.rest).poll_frame(cx)).await;
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
