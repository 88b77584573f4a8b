//! HTTP/2 frames, and gRPC requests in them.

/// What a client sends first.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A method that takes an empty request, and answers after the service's delay.
pub(crate) const LIST_COUNTRIES: &str = "/fanout.country.v1.CountryService/ListCountries";

/// The setting `SETTINGS_INITIAL_WINDOW_SIZE`.
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;

/// The type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Data = 0,
    Headers = 1,
    ResetStream = 3,
    Settings = 4,
    GoAway = 7,
    WindowUpdate = 8,
}

/// The flag `END_STREAM` of DATA and HEADERS.
const END_STREAM: u8 = 1;
/// The flag `END_HEADERS` of HEADERS.
const END_HEADERS: u8 = 4;

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

/// Returns the headers of a request, whose message is to follow.
pub(crate) fn headers(stream: u32, path: &str) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "service"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    // HPACK: literal header fields without indexing, neither compressed.
    let literal = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let block: Vec<_> =
        fields.iter().flat_map(|(name, value)| [vec![0], literal(name), literal(value)].concat()).collect();
    frame(Kind::Headers, END_HEADERS, stream, &block)
}

/// Returns an empty message, and the end of the request.
pub(crate) fn empty_message(stream: u32) -> Vec<u8> {
    message(stream, &[])
}

/// Returns an encoded message, and the end of the request.
pub(crate) fn message(stream: u32, encoded: &[u8]) -> Vec<u8> {
    let length = u32::try_from(encoded.len()).unwrap().to_be_bytes();
    frame(Kind::Data, END_STREAM, stream, &[&[0], &length[..], encoded].concat())
}

/// Returns a frame that resets a stream with CANCEL.
pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(Kind::ResetStream, 0, stream, &8_u32.to_be_bytes())
}

/// Returns a frame that enlarges the window of a stream.
pub(crate) fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(Kind::WindowUpdate, 0, stream, &increment.to_be_bytes())
}

/// Returns the number of the stream of the call with this index.
pub(crate) fn stream(call: u32) -> u32 {
    2 * call + 1
}
