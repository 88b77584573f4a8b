//! A bound on the memory of requests that have not arrived to their end.
//!
//! A message may have 4 MiB. A caller that sends most of it, again and again, and never the end, would have the server keep
//! gigabytes until the deadlines of its requests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::throttle::Throttle;

/// How many bytes all requests together may have. What they are collected in has room for up to twice as many.
const MAX: usize = 24 << 20;

/// Which part of what is left of that one request may have: a third. So it falls as they run out, as in
/// [`limit`](crate::limit), and the largest are refused first.
const PART: usize = 3;

/// How many bytes a request may have even if nothing is left: most have fewer.
const ALWAYS: usize = 1 << 10;

/// When a refused caller should come back. Nobody knows when there is room.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The memory of all requests of a server that have not arrived to their end. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct MemoryQuota(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    used: AtomicUsize,
    refused: Throttle,
}

/// The memory of one request. It is given back when this is dropped.
#[derive(Debug)]
pub(super) struct RequestMemory {
    quota: MemoryQuota,
    bytes: usize,
}

// === impl MemoryQuota ===

impl MemoryQuota {
    /// Returns the memory of a request of which nothing has arrived.
    pub(super) fn of_request(&self) -> RequestMemory {
        RequestMemory { quota: self.clone(), bytes: 0 }
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }
}

// === impl RequestMemory ===

impl RequestMemory {
    /// Adds what has arrived up to `bytes` in all, if that is more than before.
    ///
    /// # Errors
    ///
    /// Returns the status of a request that may not have as much. It has nothing then.
    pub(super) fn grow_to(&mut self, bytes: usize) -> Result<(), Status> {
        self.add(bytes.saturating_sub(self.bytes))
    }

    /// Adds what has just arrived.
    ///
    /// # Errors
    ///
    /// Returns the status of a request that may not have as much. It has nothing then.
    pub(super) fn add(&mut self, bytes: usize) -> Result<(), Status> {
        let used = self.quota.0.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.bytes += bytes;
        if self.bytes <= ALWAYS || self.bytes <= MAX.saturating_sub(used) / PART {
            return Ok(());
        }
        self.release();
        if let Some(others) = self.quota.0.refused.allow(Instant::now()) {
            tracing::warn!(max = MAX, others, "requests are rejected: too many bytes of unfinished ones are in memory");
        }
        Err(refusal())
    }

    fn release(&mut self) {
        self.quota.0.used.fetch_sub(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }
}

impl Drop for RequestMemory {
    fn drop(&mut self) {
        self.release();
    }
}

fn refusal() -> Status {
    let mut details = ErrorDetails::with_error_info("TOO_MANY_BYTES_IN_MEMORY", "fanout", []);
    details.set_retry_info(Some(RETRY_DELAY));
    let message = "the request is too large for what is left of the server's memory for requests";
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_large_requests_have_no_more_than_there_is() {
        let quota = MemoryQuota::default();
        let mut requests: Vec<_> = (0..1024).map(|_| quota.of_request()).collect();
        for _ in 0..256 {
            for request in &mut requests {
                let _ = request.add(16 << 10);
                assert!(quota.used() <= MAX);
            }
        }
        // Whoever comes then is served if it is small.
        let mut small = quota.of_request();
        small.add(ALWAYS).unwrap();
        drop((requests, small));
        assert_eq!(quota.used(), 0);
    }

    #[test]
    fn a_few_may_be_as_large_as_a_message() {
        let quota = MemoryQuota::default();
        let mut requests: Vec<_> = (0..2).map(|_| quota.of_request()).collect();
        for request in &mut requests {
            request.grow_to(5).unwrap();
            request.grow_to(4 << 20).unwrap();
            request.grow_to(7).unwrap();
        }
        assert_eq!(quota.used(), 8 << 20);
        let refused = requests[0].add(MAX).unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert_eq!(refused.get_details_error_info().unwrap().reason, "TOO_MANY_BYTES_IN_MEMORY");
        assert_eq!(quota.used(), 4 << 20, "it has nothing any more");
    }
}
