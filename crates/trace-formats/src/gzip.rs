//! Decompresses what is compressed.

use std::{borrow::Cow, io::Read as _};

use flate2::read::MultiGzDecoder;

use crate::DecodeError;

/// The first bytes of a gzip file.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// What was decompressed, and why it ends early if it does.
pub(crate) struct Inflated<'a> {
    pub(crate) bytes: Cow<'a, [u8]>,
    /// The data are broken or cut off after [`Inflated::bytes`].
    pub(crate) broken: Option<std::io::Error>,
}

/// Decompresses the input if it is compressed with gzip.
pub(crate) fn inflate(input: &[u8], limit: usize) -> Result<Inflated<'_>, DecodeError> {
    if input.len() > limit {
        return Err(DecodeError::TooLarge { limit });
    }
    if !input.starts_with(&MAGIC) {
        return Ok(Inflated { bytes: input.into(), broken: None });
    }
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let broken = MultiGzDecoder::new(input).take(most).read_to_end(&mut bytes).err();
    match broken {
        _ if bytes.len() > limit => Err(DecodeError::TooLarge { limit }),
        Some(error) if bytes.is_empty() => Err(DecodeError::Gzip(error)),
        broken => Ok(Inflated { bytes: bytes.into(), broken }),
    }
}
