//! A bound on the memory of requests that have not arrived to their end.
//!
//! A message may have 4 MiB. A caller that sends most of it, again and again, and never the end, would have the server keep
//! gigabytes until the deadlines of its requests. Nor may it have all of what there is, so that the others' large messages
//! are refused: some is for callers that have few, as with permits.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    caller_key::{CallerKey, CallerKeys},
    limit::share::Limits,
    throttle::Throttle,
};

/// How many bytes all requests together may have. What they are collected in has room for up to twice as many.
const MAX: usize = 24 << 20;

/// How many of them a caller that is alone may have: four fifths. The reserve is a quarter of that.
const MAX_ALONE: usize = MAX / 5 * 4;

/// What part of that a caller may have when others have the rest, in percent.
const MAX_SHARE: u8 = 25;

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
    /// Locked for a moment when a part of a request arrives that is not its last.
    usage: Mutex<Usage>,
    refused: Throttle,
}

#[derive(Debug, Default)]
struct Usage {
    bytes: usize,
    /// As many callers are known as have any.
    by_caller: HashMap<CallerKey, usize>,
}

/// The memory of one request. It is given back when this is dropped.
#[derive(Debug)]
pub(super) struct RequestMemory {
    quota: MemoryQuota,
    callers: CallerKeys,
    bytes: usize,
}

// === impl MemoryQuota ===

impl MemoryQuota {
    /// Returns the memory of a request of these callers of which nothing has arrived.
    pub(super) fn of_request(&self, callers: CallerKeys) -> RequestMemory {
        RequestMemory { quota: self.clone(), callers, bytes: 0 }
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.0.usage.lock().bytes
    }
}

// === impl Usage ===

impl Usage {
    /// Returns whether a request of these callers may have `more` bytes, so that it has `all`.
    fn admits(&self, callers: CallerKeys, more: usize, all: usize) -> bool {
        let held = callers.iter().map(|caller| (caller, self.by_caller.get(&caller).copied().unwrap_or_default()));
        let left = MAX.saturating_sub(self.bytes.saturating_add(more));
        let has_share = || Limits::new(MAX_ALONE, MAX_SHARE).admit(more, self.bytes, held).is_ok();
        all <= ALWAYS || (all <= left / PART && has_share())
    }

    fn add(&mut self, callers: CallerKeys, bytes: usize) {
        self.bytes += bytes;
        for caller in callers.iter() {
            *self.by_caller.entry(caller).or_default() += bytes;
        }
    }

    fn remove(&mut self, callers: CallerKeys, bytes: usize) {
        self.bytes -= bytes;
        for caller in callers.iter() {
            let Entry::Occupied(mut held) = self.by_caller.entry(caller) else { continue };
            *held.get_mut() -= bytes;
            if *held.get() == 0 {
                held.remove();
            }
        }
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
        if bytes == 0 {
            return Ok(());
        }
        let mut usage = self.quota.0.usage.lock();
        let all = self.bytes.saturating_add(bytes);
        if usage.admits(self.callers, bytes, all) {
            usage.add(self.callers, bytes);
            self.bytes = all;
            return Ok(());
        }
        drop(usage);
        self.release();
        if let Some(others) = self.quota.0.refused.allow(Instant::now()) {
            tracing::warn!(max = MAX, others, "requests are rejected: too many bytes of unfinished ones are in memory");
        }
        Err(refusal())
    }

    fn release(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes > 0 {
            self.quota.0.usage.lock().remove(self.callers, bytes);
        }
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
    use http::Extensions;

    use super::*;
    use crate::peer::Peer;

    const PART_OF_MESSAGE: usize = 64 << 10;

    fn nobody() -> CallerKeys {
        CallerKeys::of(&Extensions::new())
    }

    /// The callers of a request on this connection, from this address.
    fn from(connection: u64, address: &str) -> CallerKeys {
        let mut extensions = Extensions::new();
        extensions.insert(Arc::new(Peer { address: address.parse().unwrap(), connection, certificate: None }));
        CallerKeys::of(&extensions)
    }

    /// Sends large messages, none of which ends, until there is no room for more.
    fn fill(quota: &MemoryQuota, callers: impl Fn(u64) -> CallerKeys) -> Vec<RequestMemory> {
        let requests = (0..2048).map(|number| {
            let mut request = quota.of_request(callers(number));
            let _ = request.add(PART_OF_MESSAGE);
            request
        });
        requests.collect()
    }

    #[test]
    fn many_large_requests_have_no_more_than_there_is() {
        let quota = MemoryQuota::default();
        let mut requests: Vec<_> = (0..1024).map(|_| quota.of_request(nobody())).collect();
        for _ in 0..256 {
            for request in &mut requests {
                let _ = request.add(16 << 10);
                assert!(quota.used() <= MAX);
            }
        }
        // Whoever comes then is served if it is small.
        let mut small = quota.of_request(nobody());
        small.add(ALWAYS).unwrap();
        drop((requests, small));
        assert_eq!(quota.used(), 0);
    }

    #[test]
    fn a_few_may_be_as_large_as_a_message() {
        let quota = MemoryQuota::default();
        let mut requests: Vec<_> = (0..2).map(|_| quota.of_request(nobody())).collect();
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

    #[test]
    fn one_caller_does_not_keep_the_others_out() {
        for callers in [(|_| from(1, "127.0.0.1:1")) as fn(u64) -> _, |number| from(number, "192.0.2.1:1")] {
            let quota = MemoryQuota::default();
            let filled = fill(&quota, callers);
            // Half of the reserve, if there is another connection for each.
            let most = MAX_ALONE + MAX_ALONE / 8;
            assert!((MAX_ALONE - PART_OF_MESSAGE..=most).contains(&quota.used()), "{}", quota.used());
            let mut own = quota.of_request(callers(1));
            own.add(PART_OF_MESSAGE).unwrap_err();
            let mut others: Vec<_> =
                (2..5).map(|last| quota.of_request(from(10_000, &format!("192.0.2.{last}:1")))).collect();
            for other in &mut others {
                other.add(4 * PART_OF_MESSAGE).unwrap();
            }
            drop((filled, own, others));
            assert_eq!(quota.0.usage.lock().by_caller.len(), 0);
        }
    }
}
