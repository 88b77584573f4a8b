//! What the calls of a request in flight are expected to do, from the runs before it.

use std::time::Duration;

use crate::{
    compare::{elision, noise, run::Run},
    gateway_client::{
        report::{Call, Report},
        request::Strategy,
    },
};

/// A call that is expected of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) name: String,
    pub(super) start: Duration,
    pub(super) duration: Duration,
}

/// Returns the calls that are expected of the next run, in the order of the request; none before a run has succeeded.
///
/// The last run that overlapped its calls, or did not, as the next one will, is the best guess. Otherwise the calls
/// last as long as before: one after the other, or together if joining would have saved time.
pub(super) fn expected(finished: &[Run], next: Strategy) -> Vec<Expected> {
    let is_in_turn = |strategy| strategy == Strategy::Sequential;
    let complete = || finished.iter().rev().filter_map(|run| Some((run, run.complete()?)));
    let alike = complete().find(|(run, _)| is_in_turn(run.strategy) == is_in_turn(next));
    let Some((_, report)) = alike.or_else(|| complete().next()) else { return Vec::new() };
    if alike.is_some() || (!is_in_turn(next) && !noise::is_more(report.avoidable, report.wall)) {
        return calls(report, |call, _| call.start);
    }
    let together = !is_in_turn(next);
    calls(report, |_, before| if together { Duration::ZERO } else { before })
}

/// Returns the calls that have a row, each with the start that follows from the durations of those before it.
fn calls(report: &Report, start: impl Fn(&Call, Duration) -> Duration) -> Vec<Expected> {
    let mut before = Duration::ZERO;
    let expect = |call: &Call| {
        let start = start(call, before);
        before = before.saturating_add(call.duration);
        Expected { name: call.name.clone(), start, duration: call.duration }
    };
    elision::shown(report).into_iter().map(expect).collect()
}

// === impl Expected ===

impl Expected {
    /// Returns when the call is expected to end.
    pub(super) fn end(&self) -> Duration {
        self.start.saturating_add(self.duration)
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;
    use crate::compare::fixtures::{call, chain, run};

    fn times(finished: &[Run], next: Strategy) -> Vec<(u128, u128)> {
        expected(finished, next).iter().map(|call| (call.start.as_millis(), call.duration.as_millis())).collect()
    }

    #[test]
    fn without_a_successful_run_nothing_is_expected() {
        assert_eq!(times(&[], Strategy::Sequential), []);
    }

    #[test]
    fn independent_calls_are_expected_together_or_one_after_the_other() {
        let in_turn = run(Strategy::Sequential, vec![call("user", 0, 300), call("country", 300, 200)]);
        assert_eq!(times(slice::from_ref(&in_turn), Strategy::Concurrent), [(0, 300), (0, 200)]);
        assert_eq!(times(slice::from_ref(&in_turn), Strategy::Sequential), [(0, 300), (300, 200)]);
        let together = run(Strategy::Concurrent, vec![call("user", 0, 310), call("country", 1, 210)]);
        assert_eq!(times(&[in_turn, together.clone()], Strategy::Spawned), [(0, 310), (1, 210)]);
        assert_eq!(times(&[together], Strategy::Sequential), [(0, 310), (310, 210)]);
    }

    #[test]
    fn calls_that_depend_on_one_another_are_expected_in_turn() {
        let expected = [(0, 300), (300, 300)];
        for strategy in Strategy::ALL {
            assert_eq!(times(&[chain(Strategy::Sequential, 300)], strategy), expected);
        }
    }
}
