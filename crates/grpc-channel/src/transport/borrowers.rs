//! The runtimes whose calls use connections of other runtimes.

use std::time::Duration;

use tokio::{
    runtime::{Handle, Id},
    time::Instant,
};

/// How many calls a runtime makes on connections of others within [`PERIOD`] before it gets one of its own.
const CALLS: usize = 8;

/// How long calls are counted together: as long as a connection stays open that has no calls.
const PERIOD: Duration = Duration::from_secs(3);

/// How long no runtime gets a connection of its own, after one could not be opened or was closed soon. Calls have others
/// meanwhile.
const PAUSE: Duration = Duration::from_secs(10);

/// How many runtimes are counted at most.
const MAX_RUNTIMES: usize = 1024;

/// Counts calls on connections that another runtime drives, each of which takes two wake-ups between threads. A runtime
/// that makes many of them is to have a connection of its own.
#[derive(Debug, Default)]
pub(super) struct Borrowers {
    /// When the period has begun, and how many calls each runtime has made in it.
    period: Option<Instant>,
    calls: Vec<(Id, usize)>,
    wanted: Option<Handle>,
    paused_until: Option<Instant>,
}

// === impl Borrowers ===

impl Borrowers {
    /// Counts a call of this runtime. Returns whether it wants a connection of its own since this call.
    pub(super) fn add(&mut self, runtime: &Handle, now: Instant) -> bool {
        if self.paused_until.is_some_and(|until| now < until) {
            return false;
        }
        if self.period.is_none_or(|begun| now >= begun + PERIOD) || self.calls.len() >= MAX_RUNTIMES {
            self.period = Some(now);
            self.calls.clear();
        }
        let id = runtime.id();
        let index = self.calls.iter().position(|(other, _)| *other == id).unwrap_or_else(|| {
            self.calls.push((id, 0));
            self.calls.len() - 1
        });
        self.calls[index].1 += 1;
        // If another one's is being opened, it is counted on.
        if self.calls[index].1 < CALLS || self.wanted.is_some() {
            return false;
        }
        self.calls[index].1 = 0;
        self.wanted = Some(runtime.clone());
        true
    }

    /// Returns the runtime that wants a connection of its own, once.
    pub(super) fn take_wanted(&mut self) -> Option<Handle> {
        self.wanted.take()
    }

    /// Says that a connection was of no use.
    pub(super) fn pause(&mut self, now: Instant) {
        self.wanted = None;
        self.paused_until = Some(now + PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use tokio::{runtime::Builder, time::advance};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_runtime_that_makes_many_calls_wants_a_connection_unless_one_was_of_no_use() {
        let (borrowers, runtime) = (&mut Borrowers::default(), &Handle::current());
        let add = |calls: usize, borrowers: &mut Borrowers| {
            (0..calls).filter(|_| borrowers.add(runtime, Instant::now())).count()
        };
        for _ in 0..9 {
            assert_eq!(add(CALLS - 1, borrowers), 0, "few calls are not worth it");
            advance(PERIOD).await;
        }
        assert_eq!(add(3 * CALLS, borrowers), 1);
        assert_eq!(borrowers.take_wanted().unwrap().id(), runtime.id());
        assert!(borrowers.take_wanted().is_none());
        borrowers.pause(Instant::now());
        advance(PAUSE / 2).await;
        assert_eq!(add(3 * CALLS, borrowers), 0);
        advance(PAUSE / 2).await;
        assert_eq!(add(CALLS, borrowers), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn runtimes_are_counted_each_and_get_theirs_one_after_another() {
        let other = Builder::new_current_thread().build().unwrap();
        let (borrowers, one, other_handle) = (&mut Borrowers::default(), Handle::current(), other.handle().clone());
        let now = Instant::now();
        for _ in 0..CALLS - 1 {
            assert!(!borrowers.add(&one, now) && !borrowers.add(&other_handle, now));
        }
        assert!(borrowers.add(&one, now) && !borrowers.add(&other_handle, now));
        assert_eq!(borrowers.take_wanted().map(|runtime| runtime.id()), Some(one.id()));
        assert!(borrowers.add(&other_handle, now), "with its next call");
        other.shutdown_background();
    }
}
