//! gRPC's framing of replies: which messages there are does not depend on how the bytes were cut on their way.

use grpc_channel::fuzzing::{Deframed, collect, deframe, frame, unary};

use crate::text::assert_error;

/// Takes the lengths of the pieces from the first line, a byte for each, and the data from the others.
pub fn run(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (lengths, data) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    let pieces = cut(data, lengths);

    let whole = deframe(&[data]);
    assert_eq!(deframe(&pieces), whole, "cut into {lengths:?}");
    check_messages(data, &whole);

    assert_eq!(collect(&pieces), data, "cut into {lengths:?}");
    match unary(&pieces) {
        Ok(message) => {
            assert_eq!((data[0], data.len()), (0, 5 + message.len()));
            assert_eq!(whole.messages, [message]);
            assert!(whole.rest == 0 && whole.error.is_none());
        }
        Err(error) => assert_error(&error),
    }
    // A message of any bytes.
    let framed = frame(data);
    assert_eq!(unary(&[&framed]).map(|message| message.len() + 5), Ok(framed.len()));
}

/// Asserts that the messages are what stands in the data, one after the other.
fn check_messages(data: &[u8], Deframed { messages, rest, error }: &Deframed) {
    let mut left = data;
    for message in messages {
        let (prefix, after) = left.split_first_chunk::<5>().expect("a message has a prefix");
        assert_eq!(prefix[0], 0, "it is not compressed");
        assert_eq!(u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize, message.len());
        let (content, after) = after.split_at(message.len());
        assert_eq!(content, message);
        left = after;
    }
    assert_eq!(left.len(), *rest);
    if let Some(error) = error {
        assert_error(error);
    }
}

/// Cuts the data into pieces of these lengths, and a last one.
fn cut<'a>(mut data: &'a [u8], lengths: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::with_capacity(lengths.len() + 1);
    for length in lengths {
        let (piece, rest) = data.split_at(usize::from(*length).min(data.len()));
        pieces.push(piece);
        data = rest;
    }
    pieces.push(data);
    pieces
}
