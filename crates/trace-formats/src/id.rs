//! Trace and span ids: hexadecimal in JSON, bytes in OTLP.

use base64::{Engine as _, prelude::BASE64_STANDARD};
pub(crate) use overlap::hex::{decode as from_hex, encode as hex};

/// The bytes of a trace id.
pub(crate) const TRACE: usize = 16;
/// The bytes of a span id.
pub(crate) const SPAN: usize = 8;

/// Reads an id of OTLP JSON: hexadecimal, or base64 as in protobuf's own mapping to JSON, which some programs write.
pub(crate) fn from_otlp_json(text: &str) -> Option<Vec<u8>> {
    from_hex(text).or_else(|| {
        let bytes = BASE64_STANDARD.decode(text).ok()?;
        matches!(bytes.len(), TRACE | SPAN).then_some(bytes)
    })
}

/// Reads an id of Jaeger or Zipkin, which may be shorter than `bytes`: zeros in front of it are left out, and trace ids
/// may have 64 bits.
pub(crate) fn from_short_hex(text: &str, bytes: usize) -> Option<Vec<u8>> {
    let digits = text.len();
    (digits > 0 && digits <= 2 * bytes).then(|| from_hex(&("0".repeat(2 * bytes - digits) + text))).flatten()
}

/// Returns whether this is an id: of that many bytes, and not only zeros.
pub(crate) fn is_valid(id: &[u8], bytes: usize) -> bool {
    id.len() == bytes && id.iter().any(|byte| *byte != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_each_format_writes_them() {
        let id = [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7];
        assert_eq!(hex(&id), "00f067aa0ba902b7");
        assert_eq!(from_otlp_json("00F067AA0ba902b7").unwrap(), id);
        assert_eq!(from_otlp_json(&BASE64_STANDARD.encode(id)).unwrap(), id);
        assert_eq!(from_short_hex("f067aa0ba902b7", SPAN).unwrap(), id);
        assert_eq!(from_short_hex("f067aa0ba902b7", TRACE).unwrap()[8..], id);
    }

    #[test]
    fn what_is_no_id_is_not_read() {
        for text in ["0", "zz", "ää", "00f067aa0ba902b", "+1"] {
            assert_eq!(from_otlp_json(text), None, "{text}");
        }
        for text in ["", "00000f067aa0ba902b7", "x", "-1"] {
            assert_eq!(from_short_hex(text, SPAN), None, "{text}");
        }
        assert!(!is_valid(&[0; 8], SPAN) && !is_valid(&[1; 16], SPAN) && is_valid(&[1; 8], SPAN));
    }
}
