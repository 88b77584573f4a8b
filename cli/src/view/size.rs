//! The value of `--max-memory`.

use std::{fmt, str::FromStr};

/// The least and the most, in bytes.
const MIN: u64 = 8 << 20;
const MAX: u64 = 64 << 30;

/// The units, with how many bytes each has.
const UNITS: [(&str, u64); 5] =
    [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("MB", 1_000_000), ("GB", 1_000_000_000)];

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(u64);

// === impl Size ===

impl Size {
    /// Returns the number of bytes.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || "expected 8MiB to 64GiB, such as 256MiB or 1GB".to_owned();
        let (number, unit) = UNITS
            .iter()
            .find_map(|(name, unit)| Some((text.strip_suffix(name)?.trim_end(), *unit)))
            .ok_or_else(invalid)?;
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        bytes.filter(|bytes| (MIN..=MAX).contains(bytes)).map(Self).ok_or_else(invalid)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}MiB", self.0 >> 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_bounds() {
        for (text, bytes) in [("8MiB", 8 << 20), ("1GiB", 1 << 30), ("100 MB", 100_000_000), ("8192KiB", 8 << 20)] {
            assert_eq!(text.parse::<Size>().unwrap().bytes(), bytes, "{text}");
        }
        for wrong in ["", "256", "MiB", "-1MiB", "7MiB", "65GiB", "1TiB", "99999999999999999999GiB", "1.5GiB"] {
            assert!(wrong.parse::<Size>().unwrap_err().contains("8MiB to 64GiB"), "{wrong}");
        }
    }
}
