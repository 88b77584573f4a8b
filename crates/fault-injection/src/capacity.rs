//! How many requests are at work at once.

use std::{fmt, num::NonZeroUsize, str::FromStr};

use crate::shown;

/// The largest capacity that can be asked for; whoever wants more wants none.
const MAX: usize = 1_000_000;

/// How many requests a backend works on at once, from 1 to 1,000,000; the rest wait, first come, first served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capacity(NonZeroUsize);

/// Why a text is no [`Capacity`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not a capacity; allowed are 1 to {MAX}")]
pub struct InvalidCapacity {
    given: String,
}

// === impl Capacity ===

impl Capacity {
    /// `places`, at most 1,000,000.
    pub fn new(places: NonZeroUsize) -> Self {
        Self(places.min(NonZeroUsize::new(MAX).unwrap_or(NonZeroUsize::MIN)))
    }

    /// The number of requests at work at once.
    pub fn get(self) -> usize {
        self.0.get()
    }
}

impl FromStr for Capacity {
    type Err = InvalidCapacity;

    fn from_str(text: &str) -> Result<Self, InvalidCapacity> {
        match text.trim().parse::<NonZeroUsize>() {
            Ok(places) if places.get() <= MAX => Ok(Self(places)),
            Ok(_) | Err(_) => Err(InvalidCapacity { given: shown(text) }),
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
    fn reads_one_and_more() {
        for (text, places) in [("1", 1), (" 8 ", 8), ("1000000", 1_000_000)] {
            assert_eq!(text.parse::<Capacity>().unwrap().get(), places);
        }
        for text in ["", "0", "-1", "1000001", "many", "1.5"] {
            let error = text.parse::<Capacity>().expect_err(text).to_string();
            assert_eq!(error, format!("{text:?} is not a capacity; allowed are 1 to 1000000"));
        }
        assert_eq!(Capacity::new(NonZeroUsize::MAX).to_string(), "1000000");
    }
}
