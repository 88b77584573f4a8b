//! The position of a span in its trace.

/// The position of a span in [`Trace::spans`](super::Trace::spans).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(transparent))]
pub struct SpanIndex(u32);

impl SpanIndex {
    /// Returns it as a number.
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

/// Returns the indices of so many spans.
pub(crate) fn up_to(len: usize) -> impl DoubleEndedIterator<Item = SpanIndex> + ExactSizeIterator {
    // `repair` keeps no more spans than can be numbered.
    (0..u32::try_from(len).unwrap_or(u32::MAX)).map(SpanIndex)
}
