//! How many requests a simulated service handles at a time.

use std::{fmt, num::NonZeroUsize, str::FromStr};

/// The largest capacity. Omit the capacity for no limit.
const MAX: usize = 1_000_000;

/// How many requests a service handles at a time, from 1 to 1,000,000. The others wait in a first-in, first-out queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capacity(NonZeroUsize);

/// The error for a text that is not a [`Capacity`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a whole number from 1 to {MAX}")]
pub struct InvalidCapacity;

// === impl Capacity ===

impl Capacity {
    /// Returns a capacity of `permits`, at most 1,000,000.
    pub fn new(permits: NonZeroUsize) -> Self {
        Self(permits.min(NonZeroUsize::new(MAX).unwrap_or(NonZeroUsize::MIN)))
    }

    /// Returns the number of requests that are handled at a time.
    pub fn get(self) -> usize {
        self.0.get()
    }
}

impl FromStr for Capacity {
    type Err = InvalidCapacity;

    fn from_str(text: &str) -> Result<Self, InvalidCapacity> {
        match text.trim().parse::<NonZeroUsize>() {
            Ok(permits) if permits.get() <= MAX => Ok(Self(permits)),
            Ok(_) | Err(_) => Err(InvalidCapacity),
        }
    }
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_numbers_from_one() {
        for (text, permits) in [("1", 1), (" 8 ", 8), ("1000000", 1_000_000)] {
            assert_eq!(text.parse::<Capacity>().unwrap().get(), permits);
        }
        for text in ["", "0", "-1", "1000001", "many", "1.5"] {
            let error = text.parse::<Capacity>().expect_err(text).to_string();
            assert_eq!(error, "expected a whole number from 1 to 1000000");
        }
        assert_eq!(Capacity::new(NonZeroUsize::MAX).to_string(), "1000000");
    }
}
