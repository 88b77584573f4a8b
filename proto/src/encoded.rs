//! A message that is kept as its bytes.
//!
//! An embedded message and its encoded bytes are the same on the wire. A gateway that embeds a service's reply in its own
//! can therefore pass the bytes on. It saves decoding and encoding, and keeps fields that a newer service added and that
//! the gateway does not know.

use std::{fmt, marker::PhantomData};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::{
    DecodeError, Message,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field},
};

/// Checks that bytes can be an encoded message, by the boundaries of the outermost fields.
///
/// # Errors
///
/// Returns an error if the bytes are not a sequence of protobuf fields.
pub fn check(mut bytes: &[u8]) -> Result<(), DecodeError> {
    while bytes.has_remaining() {
        if let Some(rest) = after_short_field(bytes) {
            bytes = rest;
            continue;
        }
        let (tag, wire_type) = decode_key(&mut bytes)?;
        skip_field(wire_type, tag, &mut bytes, DecodeContext::default())?;
    }
    Ok(())
}

/// Returns what follows the first field if that is a text, bytes or a message of less than 128 bytes, with one of the first
/// 15 numbers. The elements of a list mostly are: a list of 249 costs a tenth of what prost's own way costs.
fn after_short_field(bytes: &[u8]) -> Option<&[u8]> {
    const LENGTH_DELIMITED: u8 = WireType::LengthDelimited as u8;
    match *bytes {
        // The number is above the three bits of the type. 0 is none.
        [key @ 8..0x80, length @ ..0x80, ref rest @ ..] if key & 7 == LENGTH_DELIMITED => {
            rest.get(usize::from(length)..)
        }
        _ => None,
    }
}

/// The bytes of an encoded message of type `M`. Cloning it costs a reference count.
pub struct Encoded<M> {
    bytes: Bytes,
    message: PhantomData<fn() -> M>,
}

// === impl Encoded ===

impl<M> Encoded<M> {
    /// Takes the bytes of an encoded `M`.
    ///
    /// Checks only the boundaries of the outermost fields, which costs a few instructions per field. Their content is
    /// checked when it is decoded.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are not a sequence of protobuf fields.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        check(&bytes)?;
        Ok(Self::from_checked(bytes))
    }

    /// Takes bytes that have passed [`check`].
    pub fn from_checked(bytes: Bytes) -> Self {
        Self { bytes, message: PhantomData }
    }

    /// Returns the bytes as they are sent.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl<M: Message + Default> Encoded<M> {
    /// Encodes a message.
    pub fn new(message: &M) -> Self {
        Self { bytes: message.encode_to_vec().into(), message: PhantomData }
    }

    /// Decodes the message.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are not an encoded `M`.
    pub fn to_message(&self) -> Result<M, DecodeError> {
        M::decode(&self.bytes[..])
    }
}

impl<M> Clone for Encoded<M> {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), message: PhantomData }
    }
}

impl<M> Default for Encoded<M> {
    fn default() -> Self {
        Self { bytes: Bytes::new(), message: PhantomData }
    }
}

impl<M> PartialEq for Encoded<M> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl<M> fmt::Debug for Encoded<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoded({} bytes)", self.bytes.len())
    }
}

impl<M> Message for Encoded<M> {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put_slice(&self.bytes);
    }

    /// Takes a whole message as it is, without a copy if `buf` holds `Bytes`.
    fn merge(&mut self, mut buf: impl Buf) -> Result<(), DecodeError> {
        let more = Self::from_bytes(buf.copy_to_bytes(buf.remaining()))?;
        if self.bytes.is_empty() {
            *self = more;
        } else {
            // Two encoded messages in a row are one message, in which the later of two equal fields counts.
            self.bytes = [&self.bytes[..], &more.bytes[..]].concat().into();
        }
        Ok(())
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        let mut bytes = BytesMut::from(&self.bytes[..]);
        encode_key(tag, wire_type, &mut bytes);
        let fixed = match wire_type {
            WireType::Varint => {
                encode_varint(decode_varint(buf)?, &mut bytes);
                0
            }
            WireType::ThirtyTwoBit => 4,
            WireType::SixtyFourBit => 8,
            WireType::LengthDelimited => {
                let len = decode_varint(buf)?;
                encode_varint(len, &mut bytes);
                usize::try_from(len).unwrap_or(usize::MAX)
            }
            // proto3 has no groups.
            WireType::StartGroup | WireType::EndGroup => return skip_field(wire_type, tag, buf, context),
        };
        if buf.remaining() < fixed {
            // prost's own error for a message that ends too early.
            return skip_field(WireType::SixtyFourBit, tag, &mut &[][..], context);
        }
        bytes.put(buf.take(fixed));
        self.bytes = bytes.freeze();
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.bytes.len()
    }

    fn clear(&mut self) {
        self.bytes = Bytes::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        country::v1::Country,
        gateway::v1::{FanOutReport, GetHomeCountryResponse, spliced},
        user::v1::User,
    };

    fn user() -> User {
        User { id: "ada".into(), display_name: "Ada Lovelace".into(), country_code: "GB".into(), ..User::default() }
    }

    #[test]
    fn a_spliced_reply_reads_like_a_decoded_one() {
        let country = Country { code: "GB".into(), numeric_code: 826, ..Country::default() };
        let sent = spliced::GetHomeCountryResponse {
            user: Some(Encoded::new(&user())),
            country: Some(Encoded::new(&country)),
            report: Some(FanOutReport { trace_id: "0af7".into(), ..FanOutReport::default() }),
        };
        let read = GetHomeCountryResponse::decode(&sent.encode_to_vec()[..]).unwrap();
        assert_eq!(read.user, Some(user()));
        assert_eq!(read.country, Some(country));
        assert_eq!(read.report.unwrap().trace_id, "0af7");
    }

    #[test]
    fn unknown_fields_are_kept() {
        let mut newer = user().encode_to_vec();
        prost::encoding::string::encode(99, &"new".to_owned(), &mut newer);
        prost::encoding::uint64::encode(98, &7, &mut newer);
        prost::encoding::fixed64::encode(97, &7, &mut newer);
        prost::encoding::fixed32::encode(96, &7, &mut newer);
        let reply = spliced::GetProfileResponse {
            user: Some(Encoded::from_bytes(newer.clone().into()).unwrap()),
            ..spliced::GetProfileResponse::default()
        };
        let again = spliced::GetProfileResponse::decode(&reply.encode_to_vec()[..]).unwrap();
        assert_eq!(again.user.unwrap().as_bytes(), &newer);
    }

    #[test]
    fn decoding_copies_nothing() {
        let bytes = Bytes::from(user().encode_to_vec());
        let encoded = Encoded::<User>::decode(bytes.clone()).unwrap();
        assert_eq!(encoded.as_bytes().as_ptr(), bytes.as_ptr());
        assert_eq!(encoded.to_message().unwrap(), user());
    }

    #[test]
    fn the_later_of_two_equal_fields_counts() {
        let mut both = Encoded::new(&user());
        both.merge(&User { display_name: "Countess".into(), ..User::default() }.encode_to_vec()[..]).unwrap();
        let both = both.to_message().unwrap();
        assert_eq!((both.id.as_str(), both.display_name.as_str()), ("ada", "Countess"));
    }

    #[test]
    fn a_field_is_bounded_as_prost_has_it() {
        /// The definition: prost's own functions, field by field.
        fn by_prost(mut bytes: &[u8]) -> bool {
            while bytes.has_remaining() {
                let skipped = decode_key(&mut bytes)
                    .and_then(|(tag, kind)| skip_field(kind, tag, &mut bytes, DecodeContext::default()));
                if skipped.is_err() {
                    return false;
                }
            }
            true
        }
        // Every key of one byte, with lengths up to and beyond what follows.
        for key in 0..=u8::MAX {
            for length in [0, 1, 2, 3, 127, 128, 255] {
                for rest in [&[][..], &[1], &[1, 0], &[10, 0], &[1, 1, 1], &[0; 127], &[10, 1, 0, 10, 1]] {
                    let bytes = [&[key, length], rest].concat();
                    assert_eq!(check(&bytes).is_ok(), by_prost(&bytes), "{bytes:?}");
                }
            }
            assert_eq!(check(&[key]).is_ok(), by_prost(&[key]), "{key}");
        }
    }

    #[test]
    fn bytes_that_are_not_a_message_are_an_error() {
        assert!(Encoded::<User>::from_bytes(Bytes::from_static(b"<html>502</html>")).is_err());
        let mut cut = user().encode_to_vec();
        cut.pop();
        assert!(Encoded::<User>::from_bytes(cut.clone().into()).is_err());
        let mut reply = vec![10, u8::try_from(cut.len()).unwrap()];
        reply.extend_from_slice(&cut);
        assert!(spliced::GetProfileResponse::decode(&reply[..]).is_err());
        assert!(Encoded::<User>::from_bytes(Bytes::new()).is_ok(), "a message with no field set is empty");
    }
}
