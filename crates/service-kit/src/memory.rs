//! Gives memory back to the system when a burst of requests is over.
//!
//! The allocator keeps what a burst took, because something small lies behind all of it. A process whose limit of memory is
//! near its peak would stay there for ever. So once a second it is looked at how much memory there is for which no requests
//! are in flight. If that is a lot, the free pages of the heap are given back: a few milliseconds on a thread of its own,
//! and nothing on the way of a request.

use std::{
    fs,
    time::{Duration, Instant},
};

use tokio::{task::spawn_blocking, time::sleep};

/// How often it is looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// How much there has to be to give back, in bytes.
const WORTHWHILE: u64 = 16 << 20;

/// What a request in flight takes at most that is nothing special, in bytes.
const REQUEST: u64 = 16 << 10;

/// How often in a row there has to be so much: a burst may be followed by the next.
const CALM: u32 = 2;

/// After how many periods it is done again.
const AGAIN: u32 = 3;

/// How often in a row it has to give back less than half of what there is until the rest counts as in use: connections that are no longer used close
/// for up to six seconds.
const MAX_FRUITLESS: u32 = 3;

/// How many times as long as it took it is not done again: it costs a hundredth of a processor at most.
const SHARE: u32 = 100;

/// Decides when memory is given back. Amounts are in bytes.
#[derive(Debug)]
struct HeapWatch {
    /// What it is not worthwhile to give back: the least that the process had, or what it had left of a trim.
    base: u64,
    /// How often in a row there was something to give back.
    calm: u32,
    /// For how many periods it is left alone.
    rest: u32,
    /// How often in a row less than half was given back.
    fruitless: u32,
}

/// What the process has, and how many requests are in flight.
#[derive(Clone, Copy, Debug)]
struct Use {
    resident: u64,
    in_flight: usize,
}

/// Gives memory back whenever there are fewer requests than there were. Never returns, unless the system does not say how
/// much memory the process has, or the allocator cannot give it back.
pub(crate) async fn give_back(in_flight: impl Fn() -> usize) {
    if !heap_trim::CAN_TRIM {
        return;
    }
    let now = || Some(Use { resident: resident()?, in_flight: in_flight() });
    let Some(mut watch) = now().map(HeapWatch::new) else { return };
    loop {
        sleep(PERIOD).await;
        let Some(before) = now() else { return };
        if !watch.is_due(before) {
            continue;
        }
        let trim = || {
            let begun = Instant::now();
            heap_trim::trim();
            begun.elapsed()
        };
        let (Ok(took), Some(after)) = (spawn_blocking(trim).await, now()) else { return };
        let given_back = watch.trimmed(before, after, took);
        tracing::debug!(given_back, resident = after.resident, took_us = took.as_micros(), "memory was given back");
    }
}

/// Returns how much memory of this process is resident, in bytes.
fn resident() -> Option<u64> {
    let pages: u64 = fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

// === impl HeapWatch ===

impl HeapWatch {
    fn new(now: Use) -> Self {
        Self { base: now.besides_requests(), calm: 0, rest: 0, fruitless: 0 }
    }

    /// Returns whether memory is to be given back now.
    fn is_due(&mut self, now: Use) -> bool {
        self.base = self.base.min(now.resident);
        self.rest = self.rest.saturating_sub(1);
        let excess = now.besides_requests().saturating_sub(self.base);
        if excess < WORTHWHILE || excess < now.of_requests() {
            self.calm = 0;
            return false;
        }
        self.calm += 1;
        self.calm >= CALM && self.rest == 0
    }

    /// Notes what a trim gave back, and how long it took. Returns the former.
    fn trimmed(&mut self, before: Use, after: Use, took: Duration) -> u64 {
        let given_back = before.resident.saturating_sub(after.resident);
        // What requests have just freed is given back each time, and is no reason to go on.
        let is_fruitful = given_back >= before.besides_requests().saturating_sub(self.base) / 2;
        self.fruitless = if is_fruitful { 0 } else { self.fruitless + 1 };
        if self.fruitless == MAX_FRUITLESS {
            self.fruitless = 0;
            self.base = after.besides_requests();
        }
        let rest = (took * SHARE).as_secs() / PERIOD.as_secs();
        self.rest = AGAIN.max(u32::try_from(rest).unwrap_or(u32::MAX));
        given_back
    }
}

// === impl Use ===

impl Use {
    fn of_requests(self) -> u64 {
        REQUEST * self.in_flight as u64
    }

    fn besides_requests(self) -> u64 {
        self.resident.saturating_sub(self.of_requests())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const IDLE: Use = Use { resident: 18 * MIB, in_flight: 0 };

    fn used(mib: u64, in_flight: usize) -> Use {
        Use { resident: mib * MIB, in_flight }
    }

    /// Returns after how many periods with this use memory is given back.
    fn due_after(watch: &mut HeapWatch, now: Use) -> Option<usize> {
        (1..=1_000).find(|_| watch.is_due(now))
    }

    #[test]
    fn what_a_burst_took_is_given_back_when_it_is_over() {
        let mut watch = HeapWatch::new(IDLE);
        assert_eq!(due_after(&mut watch, used(160, 10_000)), None, "its requests have it");
        assert_eq!(due_after(&mut watch, used(33, 0)), None, "it is not worthwhile");
        let over = used(160, 10);
        assert_eq!(due_after(&mut watch, over), Some(2));
        // Connections close meanwhile.
        assert_eq!(watch.trimmed(over, used(60, 10), Duration::from_millis(9)), 100 * MIB);
        assert_eq!(due_after(&mut watch, used(60, 10)), Some(3));
        assert_eq!(watch.trimmed(used(60, 10), used(20, 10), Duration::from_millis(3)), 40 * MIB);
        assert_eq!(due_after(&mut watch, used(20, 10)), None);
        assert_eq!(due_after(&mut watch, used(160, 10)), Some(2), "the next burst");
    }

    #[test]
    fn what_is_in_use_is_left_alone() {
        let mut watch = HeapWatch::new(IDLE);
        let large = used(500, 100);
        for after in [2, 3, 3] {
            assert_eq!(due_after(&mut watch, large), Some(after), "connections may be about to close");
            watch.trimmed(large, used(499, 100), Duration::ZERO);
        }
        assert_eq!(due_after(&mut watch, large), None);
        assert_eq!(due_after(&mut watch, used(520, 100)), Some(2), "more than that");
    }

    #[test]
    fn a_process_that_needs_more_than_at_its_start_is_left_alone_in_the_end() {
        let mut watch = HeapWatch::new(IDLE);
        let busy = used(200, 100);
        let trims = (0..1_000).filter(|_| {
            let is_due = watch.is_due(busy);
            if is_due {
                // What the last requests have freed.
                watch.trimmed(busy, used(192, 100), Duration::from_millis(20));
            }
            is_due
        });
        assert_eq!(trims.count(), 3);
    }

    #[test]
    fn bursts_that_follow_each_other_are_left_alone() {
        let mut watch = HeapWatch::new(IDLE);
        for _ in 0..100 {
            assert!(!watch.is_due(used(160, 0)) && !watch.is_due(used(160, 9_000)));
        }
    }

    #[test]
    fn a_trim_that_takes_long_is_rare() {
        let mut watch = HeapWatch::new(IDLE);
        assert_eq!(due_after(&mut watch, used(4_000, 0)), Some(2));
        watch.trimmed(used(4_000, 0), used(3_000, 0), Duration::from_millis(900));
        assert_eq!(due_after(&mut watch, used(3_000, 0)), Some(90));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_memory_of_this_process_is_known() {
        assert!((MIB..1_000_000 * MIB).contains(&resident().unwrap()));
    }
}
