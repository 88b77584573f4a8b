//! A set of gRPC's status codes.

use tonic::Code;

/// A set of status codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CodeSet(u32);

// === impl CodeSet ===

impl CodeSet {
    /// Returns the set of this code alone.
    pub(crate) const fn only(code: Code) -> Self {
        Self(1 << code as u32)
    }

    pub(crate) fn contains(self, code: Code) -> bool {
        self.0 & Self::only(code).0 != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Code> for CodeSet {
    fn from_iter<I: IntoIterator<Item = Code>>(codes: I) -> Self {
        codes.into_iter().fold(Self::default(), |set, code| Self(set.0 | Self::only(code).0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_the_codes_that_were_put_in() {
        let set = CodeSet::from_iter([Code::Unavailable, Code::Unauthenticated]);
        let held: Vec<_> = (0..17).map(Code::from_i32).filter(|code| set.contains(*code)).collect();
        assert_eq!(held, [Code::Unavailable, Code::Unauthenticated]);
        assert!(CodeSet::default().is_empty() && !set.is_empty());
    }
}
