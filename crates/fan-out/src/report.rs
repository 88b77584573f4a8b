//! The figures of a fan-out, computed from its calls' times.

use std::{borrow::Cow, time::Duration};

use crate::strategy::Strategy;

/// How the calls of a fan-out overlapped.
///
/// All times are read from tokio's monotonic clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The strategy of the fan-out.
    pub strategy: Strategy,
    /// The time from the first call's start to the last call's end.
    pub wall: Duration,
    /// The sum of the calls' durations: what awaiting them one by one would take.
    pub total: Duration,
    /// `total` minus `wall`, at least zero: what overlapping saved.
    pub saved: Duration,
    /// `wall` minus the longest chain, at least zero: what joining would still save.
    pub avoidable: Duration,
    /// The calls in the order in which they were given.
    pub calls: Vec<CallReport>,
}

/// When one call ran and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallReport {
    /// The name given to [`call`](crate::call()).
    pub name: Cow<'static, str>,
    /// The method; empty if none was given.
    pub method: Cow<'static, str>,
    /// How it ended.
    pub state: CallState,
    /// When it ran; `None` if it was skipped.
    pub time: Option<CallTime>,
    /// How often it was sent; see [`Attempts`](crate::Attempts).
    pub attempts: u32,
    /// How many of the attempts were hedges.
    pub hedges: u32,
    /// Whether the reply came from a hedge.
    pub hedge_won: bool,
    /// Whether it is the call that ended last without being cancelled: the one to speed up
    /// first.
    pub critical: bool,
    /// The chain that the call belongs to. Calls with the same number depend on one another.
    pub chain: u32,
}

/// When a call ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallTime {
    /// The first poll, as the time since the fan-out began.
    pub start: Duration,
    /// The time from the first poll to the end.
    pub duration: Duration,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallState {
    /// With a value.
    Ok,
    /// With an error, or by a panic.
    Failed,
    /// Stopped while it ran, because another call failed or the fan-out was dropped.
    Cancelled,
    /// Never started.
    Skipped,
}

// === impl Report ===

impl Report {
    /// Computes the figures from the calls' times and chains, and marks the critical
    /// call.
    pub fn new(strategy: Strategy, mut calls: Vec<CallReport>) -> Self {
        let times = || calls.iter().filter_map(|call| call.time.map(|time| (call.chain, time)));
        let first_start = times().map(|(_, time)| time.start).min().unwrap_or_default();
        let last_end = times().map(|(_, time)| time.end()).max().unwrap_or_default();
        let wall = last_end.saturating_sub(first_start);
        let total = times().map(|(_, time)| time.duration).sum::<Duration>();
        let avoidable = wall.saturating_sub(longest_chain(times()));
        // Of calls that ended at the same instant, the longest is the critical one. A
        // cancelled call delayed nothing: it ended because another one did.
        let critical = (0..calls.len())
            .filter(|index| calls[*index].time.is_some() && calls[*index].state != CallState::Cancelled)
            .max_by_key(|index| calls[*index].time.map(|time| (time.end(), time.duration)));
        for (index, call) in calls.iter_mut().enumerate() {
            call.critical = Some(index) == critical;
        }
        Self { strategy, wall, total, saved: total.saturating_sub(wall), avoidable, calls }
    }

    /// Writes which calls need one another, for a span: their methods, or their names, with ` > ` between the calls of a
    /// chain and `; ` between chains. `None` if no call needs another one. A join has at most 8 chains.
    pub(crate) fn chains(&self) -> Option<String> {
        let step = |call: &CallReport| if call.method.is_empty() { call.name.clone() } else { call.method.clone() };
        let chains = self.calls.chunk_by(|call, next| call.chain == next.chain).filter(|chain| chain.len() > 1);
        let chain = |chain: &[CallReport]| chain.iter().map(step).collect::<Vec<_>>().join(" > ");
        let chains: Vec<_> = chains.map(chain).collect();
        (!chains.is_empty()).then(|| chains.join("; "))
    }
}

/// Returns the longest sum of durations of one chain. A chain's calls are adjacent.
fn longest_chain(times: impl Iterator<Item = (u32, CallTime)>) -> Duration {
    let (mut longest, mut current, mut sum) = (Duration::ZERO, None, Duration::ZERO);
    for (chain, time) in times {
        sum = if current == Some(chain) { sum + time.duration } else { time.duration };
        current = Some(chain);
        longest = longest.max(sum);
    }
    longest
}

// === impl CallReport ===

impl CallReport {
    /// Returns the end as the time since the fan-out began; `None` if it was skipped.
    pub fn end(&self) -> Option<Duration> {
        self.time.map(CallTime::end)
    }
}

// === impl CallTime ===

impl CallTime {
    /// Returns the end as the time since the fan-out began.
    pub fn end(self) -> Duration {
        self.start + self.duration
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn ran(chain: u32, start: u64, duration: u64) -> CallReport {
        CallReport {
            name: Cow::Borrowed("call"),
            method: Cow::Borrowed(""),
            state: CallState::Ok,
            time: Some(CallTime { start: ms(start), duration: ms(duration) }),
            attempts: 1,
            hedges: 0,
            hedge_won: false,
            critical: false,
            chain,
        }
    }

    fn skipped(chain: u32) -> CallReport {
        CallReport { state: CallState::Skipped, time: None, attempts: 0, ..ran(chain, 0, 0) }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[track_caller]
    fn figures(calls: Vec<CallReport>, wall: u64, total: u64, saved: u64, avoidable: u64, critical: Option<usize>) {
        let report = Report::new(Strategy::Concurrent, calls);
        assert_eq!(
            (report.wall, report.total, report.saved, report.avoidable),
            (ms(wall), ms(total), ms(saved), ms(avoidable))
        );
        assert_eq!(report.calls.iter().position(|call| call.critical), critical);
    }

    #[test]
    fn in_turn_nothing_is_saved_and_joining_would_save_the_shorter() {
        figures(vec![ran(0, 0, 3000), ran(1, 3000, 2000)], 5000, 5000, 0, 2000, Some(1));
    }

    #[test]
    fn together_the_shorter_is_saved() {
        figures(vec![ran(0, 0, 3000), ran(1, 0, 2000)], 3000, 5000, 2000, 0, Some(0));
    }

    #[test]
    fn a_chain_has_nothing_to_avoid() {
        figures(vec![ran(0, 0, 3000), ran(0, 3000, 2000)], 5000, 5000, 0, 0, Some(1));
    }

    #[test]
    fn a_chain_beside_a_call_is_as_long_as_its_parts() {
        figures(vec![ran(0, 0, 2000), ran(0, 2000, 2000), ran(1, 0, 3000)], 4000, 7000, 3000, 0, Some(1));
        figures(vec![ran(0, 0, 2000), ran(0, 2000, 2000), ran(1, 4000, 3000)], 7000, 7000, 0, 3000, Some(2));
    }

    #[test]
    fn chains_are_named_by_their_methods() {
        let named = |chain, name, method| CallReport {
            name: Cow::Borrowed(name),
            method: Cow::Borrowed(method),
            ..ran(chain, 0, 1)
        };
        let calls = vec![
            named(0, "user", "UserService/GetUser"),
            named(0, "country", "CountryService/GetCountry"),
            named(1, "alone", ""),
            named(2, "a", ""),
            named(2, "b", ""),
        ];
        let report = Report::new(Strategy::Concurrent, calls);
        let chains = "UserService/GetUser > CountryService/GetCountry; a > b";
        assert_eq!(report.chains().as_deref(), Some(chains));
        assert_eq!(Report::new(Strategy::Concurrent, vec![named(0, "a", ""), named(1, "b", "")]).chains(), None);
    }

    #[test]
    fn skipped_calls_have_no_time() {
        figures(vec![ran(0, 0, 300), skipped(1)], 300, 300, 0, 0, Some(0));
        figures(vec![skipped(0), skipped(1)], 0, 0, 0, 0, None);
        figures(vec![], 0, 0, 0, 0, None);
    }

    #[test]
    fn a_cancelled_call_is_not_the_one_to_speed_up() {
        let cancelled = CallReport { state: CallState::Cancelled, ..ran(1, 10, 110) };
        figures(vec![ran(0, 0, 100), cancelled.clone()], 120, 210, 90, 10, Some(0));
        figures(vec![cancelled], 110, 110, 0, 0, None);
    }

    #[test]
    fn wall_time_begins_with_the_first_call() {
        figures(vec![ran(0, 50, 100), ran(1, 60, 100)], 110, 200, 90, 10, Some(1));
    }

    proptest! {
        #[test]
        fn the_figures_hold_together(calls in proptest::collection::vec((0_u64..9999, 0_u64..9999), 0..20)) {
            let calls = (0..).zip(calls).map(|(chain, (start, duration))| ran(chain, start, duration)).collect();
            let report = Report::new(Strategy::Concurrent, calls);
            prop_assert!(report.saved <= report.total);
            prop_assert!(report.avoidable <= report.wall);
            prop_assert!(report.saved + report.wall >= report.total);
            let longest = report.calls.iter().filter_map(|call| call.time).map(|time| time.duration).max();
            prop_assert_eq!(report.wall.saturating_sub(report.avoidable), longest.unwrap_or_default());
        }
    }
}
