//! gRPC's framing of messages over an HTTP/2 stream ("gRPC over HTTP2" of the gRPC project).

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h2::{RecvStream, client};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri,
    header::{CONTENT_TYPE, TE, USER_AGENT},
    uri::PathAndQuery,
};
use http_body::{Body, Frame};
use tonic::{Code, Status};

use crate::error::lost;

/// Before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// The largest reply, as with tonic.
const MAX_REPLY: usize = 4 << 20;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Headers of every call.
pub(crate) const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (TE, HeaderValue::from_static("trailers")),
    (CONTENT_TYPE, HeaderValue::from_static("application/grpc")),
    (USER_AGENT, HeaderValue::from_static(concat!("fanout/", env!("CARGO_PKG_VERSION")))),
];

/// Returns the URI of a method: its path below `origin`.
pub(crate) fn uri(origin: &Uri, method_path: &'static str) -> Uri {
    let mut parts = origin.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::from_static(method_path));
    Uri::from_parts(parts).expect("an origin has a scheme and an authority")
}

/// The whole reply to a unary call: its data with the prefix, and its trailers.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

/// The messages of a reply that streams.
#[derive(Debug)]
pub(crate) struct Messages {
    stream: RecvStream,
    received: BytesMut,
}

/// Sends a call of one message; fails where the connection takes none.
pub(crate) fn start_unary(
    send: &mut client::SendRequest<Bytes>,
    request: Request<Bytes>,
) -> Result<client::ResponseFuture, h2::Error> {
    let (head, message) = request.into_parts();
    let (response, mut stream) = send.send_request(Request::from_parts(head, ()), false)?;
    let mut frame = BytesMut::with_capacity(PREFIX + message.len());
    frame.put_u8(0);
    // tonic and we have refused longer ones long before.
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put(message);
    // A peer may answer before it has the message, and close the stream: what it said is in the response, and it did see
    // the call.
    let _ = stream.send_data(frame.freeze(), true);
    Ok(response)
}

/// Reads a reply to its end.
pub(crate) async fn collect_reply(response: Response<RecvStream>) -> Result<Response<Reply>, Status> {
    let (head, mut stream) = response.into_parts();
    check_response(head.status, &head.headers)?;
    if head.headers.contains_key(GRPC_STATUS) {
        // There is no more than these headers.
        return Ok(Response::from_parts(head, Reply::default()));
    }
    let mut data = Bytes::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk.map_err(lost)?;
        let _ = stream.flow_control().release_capacity(chunk.len());
        if data.len() + chunk.len() > PREFIX + MAX_REPLY {
            return Err(Status::out_of_range(format!("the reply is longer than {MAX_REPLY} bytes")));
        }
        // Most replies are one frame, and stay where they were received.
        data = if data.is_empty() { chunk } else { joined(data, &chunk) };
    }
    let trailers = stream.trailers().await.map_err(lost)?;
    Ok(Response::from_parts(head, Reply { data: Some(data), trailers }))
}

/// Both in one piece. What was joined before has room to grow, so that a long reply is not copied for each of its frames.
fn joined(data: Bytes, chunk: &[u8]) -> Bytes {
    let mut whole = data.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
    whole.extend_from_slice(chunk);
    whole.freeze()
}

/// Whether the answer is gRPC at all; what a proxy says in HTTP's own words is translated as gRPC's mapping has it.
pub(crate) fn check_response(status: StatusCode, headers: &HeaderMap) -> Result<(), Status> {
    let is_grpc =
        headers.get(http::header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if headers.contains_key(GRPC_STATUS) || (status == StatusCode::OK && is_grpc) {
        return Ok(());
    }
    let code = match status {
        StatusCode::BAD_REQUEST => Code::Internal,
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::Unimplemented,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Code::Unavailable,
        _ => Code::Unknown,
    };
    Err(Status::new(code, format!("the answer is no gRPC: HTTP status {status}")))
}

/// The message in the data of a unary reply.
pub(crate) fn message(mut data: Bytes) -> Result<Bytes, &'static str> {
    if data.len() < PREFIX {
        return Err("it ended before its message began");
    }
    if data.get_u8() != 0 {
        return Err("it is compressed, which nobody inner for");
    }
    let length = data.get_u32() as usize;
    if data.len() == length { Ok(data) } else { Err("its length is not what it says") }
}

// === impl Reply ===

impl Body for Reply {
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

// === impl Messages ===

impl Messages {
    /// The messages to come on this stream.
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self { stream, received: BytesMut::new() }
    }

    /// The next message, or the status that ended the stream.
    pub(crate) async fn next(&mut self) -> Result<Bytes, Status> {
        loop {
            if let Some(length) = self.received.get(1..PREFIX) {
                let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
                if length > MAX_REPLY {
                    return Err(Status::out_of_range("a message is too long"));
                }
                if self.received.len() >= PREFIX + length {
                    return Ok(self.received.split_to(PREFIX + length).freeze().slice(PREFIX..));
                }
            }
            let Some(chunk) = self.stream.data().await else { break };
            let chunk = chunk.map_err(lost)?;
            let _ = self.stream.flow_control().release_capacity(chunk.len());
            self.received.extend_from_slice(&chunk);
        }
        let trailers = self.stream.trailers().await.map_err(lost)?;
        Err(trailers.as_ref().and_then(Status::from_header_map).unwrap_or_else(no_status))
    }
}

/// The status of a reply that has none.
pub(crate) fn no_status() -> Status {
    Status::unknown("the reply ended without a status")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_a_prefix_of_five_bytes() {
        assert_eq!(message(Bytes::from_static(b"\0\0\0\0\x02hi")).unwrap(), "hi");
        assert_eq!(message(Bytes::from_static(b"\0\0\0\0\0")).unwrap(), "");
        for (bad, why) in [
            (&b""[..], "ended"),
            (b"\0\0\0\0", "ended"),
            (b"\x01\0\0\0\x02hi", "compressed"),
            (b"\0\0\0\0\x03hi", "length"),
            (b"\0\0\0\0\x01hi", "length"),
        ] {
            assert!(message(Bytes::from_static(bad)).unwrap_err().contains(why), "{bad:?}");
        }
    }

    #[test]
    fn a_long_reply_is_not_copied_for_each_of_its_frames() {
        let frames: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte; 16_384]).collect();
        let (mut data, mut moved) = (Bytes::copy_from_slice(&frames[0]), 0);
        let received = data.clone();
        for frame in &frames[1..] {
            let before = data.as_ptr();
            data = joined(data, frame);
            moved += u32::from(data.as_ptr() != before);
        }
        assert_eq!(data, frames.concat());
        assert_eq!(received, frames[0], "what others still hold is left alone");
        assert!(moved <= 10, "{moved} copies of 4 MiB in 256 frames");
    }

    #[test]
    fn what_is_not_grpc_is_told_by_its_http_status() {
        let mut grpc = HeaderMap::new();
        grpc.insert("content-type", "application/grpc+proto".parse().unwrap());
        assert!(check_response(StatusCode::OK, &grpc).is_ok());
        let code = |status| check_response(status, &HeaderMap::new()).unwrap_err().code();
        assert_eq!(code(StatusCode::OK), Code::Unknown);
        assert_eq!(code(StatusCode::SERVICE_UNAVAILABLE), Code::Unavailable);
        assert_eq!(code(StatusCode::NOT_FOUND), Code::Unimplemented);
    }
}
