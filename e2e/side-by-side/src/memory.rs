//! The memory of this process, as Linux counts it.

use std::{fs, io};

/// Returns the resident memory in KiB.
pub(crate) fn resident() -> io::Result<u64> {
    field("VmRSS:")
}

/// Returns the largest resident memory since the process started, in KiB.
pub(crate) fn peak() -> io::Result<u64> {
    field("VmHWM:")
}

fn field(name: &str) -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| io::Error::other(format!("/proc/self/status has no {name}")))
}
