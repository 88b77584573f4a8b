//! Ejects endpoints whose calls fail, for a while: a pure value, to which the time is given (Envoy's consecutive failures;
//! gRFC A50).

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;

/// How many failures in a row eject an endpoint.
const FAILURES: u32 = 5;

/// How long the first ejection lasts. It doubles with each in a row.
const BASE: Duration = Duration::from_secs(1);

/// The longest ejection.
const CAP: Duration = Duration::from_secs(30);

/// How the calls of one endpoint ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallHistory {
    /// Failures since the last success.
    failures: u32,
    /// Deadlines that passed since the last success. They eject nothing: a deadline is its caller's choice.
    late: u32,
    failed_at: Option<Instant>,
    /// How often in a row it was ejected.
    ejections: u32,
    epoch: Epoch,
    state: OutlierState,
}

/// Counts ejections. Results of calls that started in an earlier epoch are ignored: a late failure belongs to what the
/// endpoint was ejected for, and a late success to the time before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Epoch(u32);

/// Whether an endpoint gets calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OutlierState {
    /// It gets calls.
    #[default]
    Active,
    /// It gets none until then.
    Ejected { until: Instant },
    /// One call, the probe, finds out whether it is well again.
    Probing,
}

// === impl CallHistory ===

impl CallHistory {
    pub(crate) fn state(self) -> OutlierState {
        self.state
    }

    /// Returns `Ok` if the endpoint may be called now. Otherwise, when to ask again; `None` if its probe decides.
    pub(crate) fn admits(self, now: Instant) -> Result<(), Option<Instant>> {
        match self.state {
            OutlierState::Active => Ok(()),
            OutlierState::Ejected { until } if now >= until => Ok(()),
            OutlierState::Ejected { until } => Err(Some(until)),
            OutlierState::Probing => Err(None),
        }
    }

    /// Returns the failures and passed deadlines in a row if the last was within a second, else 0. The balancer compares it
    /// before the pending calls: an endpoint that fails fast is never busy, and would get the most calls of all.
    pub(crate) fn penalty(self, now: Instant) -> u32 {
        if self.failed_at.is_some_and(|failed| now.saturating_duration_since(failed) < BASE) {
            self.failures.saturating_add(self.late)
        } else {
            0
        }
    }

    /// Returns the epoch of a call that starts now.
    pub(crate) fn epoch(self) -> Epoch {
        self.epoch
    }

    /// Returns the history after a call started.
    #[must_use]
    pub(crate) fn called(self) -> Self {
        match self.state {
            OutlierState::Active => self,
            OutlierState::Ejected { .. } | OutlierState::Probing => Self { state: OutlierState::Probing, ..self },
        }
    }

    /// Returns the history after a call succeeded.
    #[must_use]
    pub(crate) fn succeeded(self) -> Self {
        Self { epoch: self.epoch, ..Self::default() }
    }

    /// Returns the history after a call failed by the endpoint's fault. `may_eject` says whether one more may be ejected.
    #[must_use]
    pub(crate) fn failed(self, may_eject: bool, now: Instant) -> Self {
        let failures = self.failures.saturating_add(1);
        let due = self.state == OutlierState::Probing || failures >= FAILURES;
        match self.state {
            OutlierState::Ejected { .. } => self,
            OutlierState::Active | OutlierState::Probing if due && may_eject => {
                let state = OutlierState::Ejected { until: now + ejection_time(self.ejections) };
                let epoch = Epoch(self.epoch.0.wrapping_add(1));
                Self { failures: 0, late: 0, failed_at: None, ejections: self.ejections + 1, epoch, state }
            }
            OutlierState::Active | OutlierState::Probing => {
                Self { failures, failed_at: Some(now), state: OutlierState::Active, ..self }
            }
        }
    }

    /// Returns the history after a call's deadline passed. The endpoint may be stuck: for a second, others are asked before
    /// it. If it was the probe, the next call is one.
    #[must_use]
    pub(crate) fn late(self, now: Instant) -> Self {
        match self.state {
            OutlierState::Active => Self { late: self.late.saturating_add(1), failed_at: Some(now), ..self },
            OutlierState::Probing | OutlierState::Ejected { .. } => self.abandoned(now),
        }
    }

    /// Returns the history after a call that shows nothing, such as one that its caller dropped: if it was the probe, the
    /// next call is one.
    #[must_use]
    pub(crate) fn abandoned(self, now: Instant) -> Self {
        match self.state {
            OutlierState::Probing => Self { state: OutlierState::Ejected { until: now }, ..self },
            OutlierState::Active | OutlierState::Ejected { .. } => self,
        }
    }
}

/// Returns how long the next ejection lasts after so many in a row.
fn ejection_time(before: u32) -> Duration {
    Backoff::doubling(BASE, CAP).longest(before.saturating_add(1))
}

/// Returns whether one more endpoint may be ejected: never more than this share of all.
pub(crate) fn may_eject(ejected: usize, all: usize, share: f64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "endpoints are few")]
    let (ejected, all) = (ejected as f64, all as f64);
    ejected + 1.0 <= all * share
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::any, prop_assert, proptest, sample::Index};

    use super::*;

    fn failing(times: u32, now: Instant) -> CallHistory {
        (0..times).fold(CallHistory::default(), |history, _| history.failed(true, now))
    }

    #[tokio::test(start_paused = true)]
    async fn five_failures_in_a_row_put_it_out_and_one_probe_lets_it_in() {
        let now = Instant::now();
        assert_eq!(failing(4, now).admits(now), Ok(()));
        let out = failing(5, now);
        assert_eq!(out.admits(now), Err(Some(now + BASE)));
        let due = now + BASE;
        assert_eq!(out.admits(due), Ok(()), "its time is over");
        let probed = out.called();
        assert_eq!(probed.admits(due), Err(None), "one probe at a time");
        assert_eq!(probed.succeeded().admits(due), Ok(()));
        assert_eq!(probed.failed(true, due).admits(due), Err(Some(due + 2 * BASE)), "longer the second time");
        assert_eq!(probed.abandoned(due).admits(due), Ok(()), "the next call probes");
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_in_between_begins_anew() {
        let now = Instant::now();
        assert_ne!(failing(4, now), CallHistory::default());
        assert_eq!(
            (0..4).fold(failing(4, now).succeeded(), |history, _| history.failed(true, now)).admits(now),
            Ok(())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn deadlines_that_pass_eject_nothing_and_let_others_go_first() {
        let now = Instant::now();
        let late = (0..100).fold(CallHistory::default(), |history, _| history.late(now));
        assert_eq!((late.state(), late.penalty(now), late.penalty(now + BASE)), (OutlierState::Active, 100, 0));
        assert_eq!(late.failed(true, now).state(), OutlierState::Active, "one failure, not the fifth");
        let probed = failing(5, now).called();
        assert_eq!(probed.late(now + BASE).admits(now + BASE), Ok(()), "the next call probes");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_may_not_be_left_out_stays_in() {
        let now = Instant::now();
        let history = (0..100).fold(CallHistory::default(), |history, _| history.failed(false, now));
        assert_eq!(history.state(), OutlierState::Active);
        assert!(matches!(history.failed(true, now).state(), OutlierState::Ejected { .. }), "until another is back");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_has_just_failed_is_suspect_for_a_second() {
        let now = Instant::now();
        let history = failing(2, now);
        assert_eq!((history.penalty(now), history.penalty(now + BASE)), (2, 0));
        assert_eq!(history.succeeded().penalty(now), 0);
    }

    proptest! {
        #[test]
        fn never_more_than_the_share_are_out(all in 0_usize..500, share in 0.0_f64..=1.0) {
            let mut out = 0;
            while may_eject(out, all, share) {
                out += 1;
            }
            #[expect(clippy::cast_precision_loss)]
            let (out, bound) = (out as f64, all as f64 * share);
            prop_assert!(out <= bound && out + 1.0 > bound);
        }

        #[test]
        fn whatever_comes_of_its_calls_it_gets_another(
            events in vec((0_u8..5, any::<Index>(), 0_u64..3000), 0..200),
        ) {
            let (mut history, mut now, mut under_way) = (CallHistory::default(), Instant::now(), Vec::new());
            for (event, which, ms) in events {
                now += Duration::from_millis(ms);
                if event == 0 {
                    if history.admits(now).is_ok() {
                        history = history.called();
                        under_way.push(history.epoch());
                    }
                } else if !under_way.is_empty() && under_way.swap_remove(which.index(under_way.len())) == history.epoch() {
                    history = match event {
                        1 => history.succeeded(),
                        2 => history.failed(true, now),
                        3 => history.late(now),
                        _ => history.abandoned(now),
                    };
                }
                let is_awaited = under_way.contains(&history.epoch());
                prop_assert!(is_awaited || history.admits(now + CAP).is_ok(), "{history:?} has no way back");
            }
        }

        #[test]
        fn no_ejection_lasts_longer_than_the_cap(before in 0_u32..1000) {
            prop_assert!(ejection_time(before) >= BASE && ejection_time(before) <= CAP);
        }
    }
}
