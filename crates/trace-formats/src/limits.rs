//! Bounds against inputs that would take all memory.

/// How much is read of one input. What is above a limit is left out, and that is a [`Problem`](crate::Problem).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The bytes of the input, after it is decompressed.
    pub bytes: usize,
    /// The bytes of one span, resource or scope as it is encoded.
    pub span_bytes: usize,
    /// The spans of all traces.
    pub spans: usize,
    /// The attributes, events and links of all spans, the attributes of their resources and scopes, and the values in lists
    /// and maps.
    pub items: usize,
    /// The problems that are described; the others are counted.
    pub problems: usize,
}

// === impl Limits ===

impl Default for Limits {
    /// 512 MiB and a million spans, for a command that reads files. Somebody who reads requests wants less.
    fn default() -> Self {
        Self { bytes: 512 << 20, span_bytes: 4 << 20, spans: 1_000_000, items: 30_000_000, problems: 100 }
    }
}
