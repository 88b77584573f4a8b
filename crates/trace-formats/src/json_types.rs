//! Values of Jaeger's and Zipkin's JSON: ids whose zeros are left out, times in microseconds.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, Unexpected, Visitor},
};

use crate::id;

/// An id of this many bytes, of which zeros at the beginning may be left out.
pub(crate) struct HexId<const BYTES: usize>(pub(crate) Vec<u8>);

/// A time or duration, as microseconds in the format and as nanoseconds here.
#[derive(Clone, Copy, Default)]
pub(crate) struct Micros(pub(crate) u64);

impl<'de, const BYTES: usize> Deserialize<'de> for HexId<BYTES> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text<const BYTES: usize>;
        impl<const BYTES: usize> Visitor<'_> for Text<BYTES> {
            type Value = HexId<BYTES>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an id of up to {} hexadecimal digits", 2 * BYTES)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<HexId<BYTES>, E> {
                let id = id::from_short_hex(text, BYTES).map(HexId);
                id.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        from.deserialize_str(Text)
    }
}

impl<'de> Deserialize<'de> for Micros {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Micros;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("microseconds, of which the nanoseconds fit into 64 bits")
            }

            fn visit_u64<E: Error>(self, micros: u64) -> Result<Micros, E> {
                let nanos = micros.checked_mul(1000).map(Micros);
                nanos.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(micros), &self))
            }

            fn visit_i64<E: Error>(self, micros: i64) -> Result<Micros, E> {
                // A negative duration is none, for want of a better one.
                u64::try_from(micros).map_or(Ok(Micros(0)), |micros| self.visit_u64(micros))
            }

            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in range")]
            fn visit_f64<E: Error>(self, micros: f64) -> Result<Micros, E> {
                let nanos = (micros * 1000.0).round();
                let fits = (0.0..1.8e19).contains(&nanos).then_some(Micros(nanos as u64));
                fits.ok_or_else(|| E::invalid_value(Unexpected::Float(micros), &self))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Micros, E> {
                let micros = text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))?;
                self.visit_u64(micros)
            }
        }
        from.deserialize_any(Number)
    }
}
