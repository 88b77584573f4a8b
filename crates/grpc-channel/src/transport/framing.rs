//! gRPC's framing of messages over an HTTP/2 stream ("gRPC over HTTP2" of the gRPC project).

use std::sync::Arc;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h2::RecvStream;
use http::{HeaderMap, HeaderName, StatusCode, header::CONTENT_TYPE};
use prost::Message;
use tonic::{Code, Status};

use crate::{error::lost, evidence::HttpResponse};

/// What stands before each message: whether it is compressed, and its length.
pub(crate) const PREFIX: usize = 5;

/// The longest reply to a unary call in bytes, as with tonic.
pub(crate) const MAX_REPLY: usize = 4 << 20;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The messages of a reply that streams.
#[derive(Debug)]
pub(crate) struct Messages {
    stream: RecvStream,
    received: Deframer,
}

/// Finds messages in the data of a stream, however it was cut on its way.
#[derive(Debug, Default)]
pub(crate) struct Deframer {
    received: BytesMut,
}

/// Encodes a message with its prefix.
pub(crate) fn frame(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    if length == 0 {
        return Bytes::from_static(&[0; PREFIX]);
    }
    let mut frame = BytesMut::with_capacity(PREFIX + length);
    frame.put_u8(0);
    // Nobody has 4 GiB in a message: protobuf's own limit is 2 GiB.
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    message.encode_raw(&mut frame);
    frame.freeze()
}

/// Returns the message in the data of a unary reply.
///
/// # Errors
///
/// Returns why there is none.
pub(crate) fn message(mut data: Bytes) -> Result<Bytes, &'static str> {
    check_frame(&data)?;
    if data.get_u8() != 0 {
        return Err("it is compressed, which was not asked for");
    }
    data.advance(PREFIX - 1);
    Ok(data)
}

/// Checks that the data of a unary reply is one message, compressed or not.
pub(crate) fn check_frame(data: &[u8]) -> Result<(), &'static str> {
    match data {
        [0 | 1, length @ ..] if length.len() >= PREFIX - 1 => {
            let (length, message) = length.split_at(PREFIX - 1);
            let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
            if message.len() == length { Ok(()) } else { Err("its length is not what its prefix says") }
        }
        [0 | 1, ..] | [] => Err("it ended before its message began"),
        _ => Err("it does not begin with gRPC's prefix"),
    }
}

/// Returns both in one piece. What was joined before has room to grow, so that a long reply is not copied for each of its
/// frames.
pub(crate) fn joined(data: Bytes, chunk: &[u8]) -> Bytes {
    let mut whole = data.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
    whole.extend_from_slice(chunk);
    whole.freeze()
}

/// Returns whether these headers are the whole reply.
pub(crate) fn is_trailers_only(headers: &HeaderMap) -> bool {
    headers.contains_key(GRPC_STATUS)
}

/// Checks that the response is gRPC. What a proxy says in HTTP's own words is translated as gRPC's mapping of HTTP status
/// codes has it.
pub(crate) fn check_response(status: StatusCode, headers: &HeaderMap) -> Result<(), Status> {
    let is_grpc = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if is_trailers_only(headers) || (status == StatusCode::OK && is_grpc) {
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
        // Not in gRPC's mapping. gRPC's own code for metadata that is too large is clearer than UNKNOWN, and says whose
        // making it is.
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Code::ResourceExhausted,
        _ => Code::Unknown,
    };
    let message = match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            format!("the headers of the request are too long for the server: HTTP status {status}")
        }
        _ => format!("the response is not gRPC: HTTP status {status}"),
    };
    let mut error = Status::new(code, message);
    error.set_source(Arc::new(HttpResponse(status)));
    Err(error)
}

/// Returns the status of a reply that has none.
pub(crate) fn no_status() -> Status {
    Status::unknown("the reply ended without a status")
}

// === impl Messages ===

impl Messages {
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self { stream, received: Deframer::default() }
    }

    /// Returns the next message.
    ///
    /// # Errors
    ///
    /// Returns the status that ended the stream, success included.
    pub(crate) async fn next(&mut self) -> Result<Bytes, Status> {
        loop {
            if let Some(message) = self.received.next()? {
                return Ok(message);
            }
            let Some(chunk) = self.stream.data().await else { break };
            let chunk = chunk.map_err(lost)?;
            let _ = self.stream.flow_control().release_capacity(chunk.len());
            self.received.push(&chunk);
        }
        let trailers = self.stream.trailers().await.map_err(lost)?;
        Err(trailers.as_ref().and_then(Status::from_header_map).unwrap_or_else(no_status))
    }
}

// === impl Deframer ===

impl Deframer {
    /// Adds the next data of the stream.
    pub(crate) fn push(&mut self, data: &[u8]) {
        self.received.extend_from_slice(data);
    }

    /// Takes the next message; `None` if it has not arrived to its end.
    ///
    /// # Errors
    ///
    /// Returns the status for data that is no message, or a message that is too long. The data stays, so that there is no
    /// message after it.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, Status> {
        let Some((compressed, length)) = self.received.get(..PREFIX).and_then(<[u8]>::split_first) else {
            return Ok(None);
        };
        if *compressed != 0 {
            return Err(Status::internal("a message is compressed, or is not gRPC"));
        }
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        if length > MAX_REPLY {
            return Err(Status::out_of_range("a message is too long"));
        }
        if self.received.len() < PREFIX + length {
            return Ok(None);
        }
        Ok(Some(self.received.split_to(PREFIX + length).freeze().slice(PREFIX..)))
    }

    /// Returns how many bytes were received that are in no message yet.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn rest(&self) -> usize {
        self.received.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_a_prefix_of_five_bytes() {
        assert_eq!(message(Bytes::from_static(b"\0\0\0\0\x02hi")).unwrap(), "hi");
        assert_eq!(message(Bytes::from_static(b"\0\0\0\0\0")).unwrap(), "");
        assert_eq!(message(frame(&"hi".to_owned())).unwrap(), "hi".to_owned().encode_to_vec());
        for (bad, why) in [
            (&b""[..], "ended"),
            (b"\0\0\0\0", "ended"),
            (b"\x01\0\0\0\x02hi", "compressed"),
            (b"\x02\0\0\0\x02hi", "prefix"),
            (b"\0\0\0\0\x03hi", "length"),
            (b"\0\0\0\0\x01hi", "length"),
        ] {
            assert!(message(Bytes::from_static(bad)).unwrap_err().contains(why), "{bad:?}");
        }
    }

    #[test]
    fn messages_are_found_however_the_stream_is_cut() {
        let mut deframer = Deframer::default();
        let mut messages = Vec::new();
        for byte in b"\0\0\0\0\x02hi\0\0\0\0\0\0\0" {
            deframer.push(&[*byte]);
            messages.extend(deframer.next().unwrap());
        }
        assert_eq!(messages, ["hi", ""]);
    }

    #[test]
    fn no_message_follows_data_that_is_none() {
        for (bad, code) in [
            (b"\x01\0\0\0\x02hi", Code::Internal),
            (b"\x02\0\0\0\x02hi", Code::Internal),
            (b"\0\0\x40\0\x01hi", Code::OutOfRange),
        ] {
            let mut deframer = Deframer::default();
            deframer.push(bad);
            for _ in 0..2 {
                assert_eq!(deframer.next().unwrap_err().code(), code, "{bad:?}");
            }
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
    fn a_response_that_is_not_grpc_is_told_by_its_http_status() {
        let mut grpc = HeaderMap::new();
        grpc.insert("content-type", "application/grpc+proto".parse().unwrap());
        assert!(check_response(StatusCode::OK, &grpc).is_ok());
        let code = |status| check_response(status, &HeaderMap::new()).unwrap_err().code();
        assert_eq!(code(StatusCode::OK), Code::Unknown);
        assert_eq!(code(StatusCode::SERVICE_UNAVAILABLE), Code::Unavailable);
        assert_eq!(code(StatusCode::NOT_FOUND), Code::Unimplemented);
        assert_eq!(code(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE), Code::ResourceExhausted);
    }
}
