//! Bytes as hexadecimal digits, as ids are written.

use std::fmt;

/// Returns the bytes as lower-case digits, two for each.
///
/// ```
/// assert_eq!(overlap::hex::encode(&[0, 0xf0, 0x67]), "00f067");
/// ```
pub fn encode(bytes: &[u8]) -> String {
    digits(bytes).collect()
}

/// Reads digits of either case. `None` if there is anything else, or an odd number of them.
///
/// ```
/// assert_eq!(overlap::hex::decode("00F067"), Some(vec![0, 0xf0, 0x67]));
/// assert_eq!(overlap::hex::decode("0f0"), None);
/// ```
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![0; text.len() / 2];
    read(text, &mut bytes)?;
    Some(bytes)
}

/// Writes the bytes as lower-case digits.
pub(crate) fn write(bytes: &[u8], to: &mut impl fmt::Write) -> fmt::Result {
    digits(bytes).try_for_each(|digit| to.write_char(digit))
}

fn digits(bytes: &[u8]) -> impl Iterator<Item = char> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let halves = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    halves.map(|half| char::from(DIGITS[usize::from(half)]))
}

/// Reads as many digits as fill the bytes. `None` if there is anything else, or another number of them.
pub(crate) fn read(text: &str, bytes: &mut [u8]) -> Option<()> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != bytes.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(())
}
