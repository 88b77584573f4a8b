//! One endpoint: whether it can be reached, and how its calls end.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, futures::Notified},
    time::Instant,
};

use crate::{
    endpoints::outlier_detection::{CallHistory, Epoch, OutlierState},
    transport::pool::Pool,
};

/// One address of a backend.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    pub(crate) mark: Mark,
    pub(crate) pool: Arc<Pool>,
    /// Calls that have not ended.
    pending: AtomicUsize,
    /// Whether a call has succeeded since this was asked last.
    has_replied: AtomicBool,
    /// Its connect loop is not to wait for the end of its back-off.
    reconnect: Notify,
    status: Mutex<Status>,
}

/// Tells the endpoints of a backend apart: one bit of 64, so that a set of them is a number. Only a backend of more
/// endpoints than that has two with the same: of 1,000, 15 or 16 share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u64);

/// Endpoints that a call has been sent to.
#[derive(Debug, Default)]
pub(crate) struct Marks(AtomicU64);

#[derive(Debug)]
struct Status {
    connectivity: ConnectivityState,
    /// When `connectivity` was set the last time, to the same value or another.
    since: Instant,
    /// It failed, and is being connected to again because calls wait for it.
    is_retried: bool,
    /// It is `Connecting`, but in no hurry before a call waits for it.
    is_resting: bool,
    history: CallHistory,
}

/// Whether an endpoint can be reached, as gRPC's connectivity semantics name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConnectivityState {
    /// It is being connected to: calls wait for it.
    Connecting,
    /// It is connected, and its health is `SERVING`.
    Ready,
    /// It is connected, and its health is not `SERVING`.
    NotServing,
    /// The last attempt to connect failed for this reason.
    TransientFailure(String),
}

// === impl Endpoint ===

impl Endpoint {
    pub(crate) fn new(address: SocketAddr, mark: Mark, max_connections: usize) -> Self {
        let status = Status {
            connectivity: ConnectivityState::Connecting,
            since: Instant::now(),
            is_retried: false,
            is_resting: false,
            history: CallHistory::default(),
        };
        let pool = Arc::new(Pool::new(max_connections));
        let (pending, has_replied) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { address, mark, pool, pending, has_replied, reconnect: Notify::new(), status: Mutex::new(status) }
    }

    pub(crate) fn connectivity(&self) -> ConnectivityState {
        self.status.lock().connectivity.clone()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.status.lock().connectivity == ConnectivityState::Ready
    }

    /// Sets the connectivity, and returns the one before. Logs a change.
    pub(crate) fn set_connectivity(&self, connectivity: ConnectivityState) -> ConnectivityState {
        let before = {
            let mut status = self.status.lock();
            status.since = Instant::now();
            status.is_retried = false;
            status.is_resting = false;
            std::mem::replace(&mut status.connectivity, connectivity.clone())
        };
        if before != connectivity {
            match connectivity {
                ConnectivityState::Ready => tracing::info!(replica = %self.address, "replica is ready"),
                ConnectivityState::NotServing => tracing::info!(replica = %self.address, "replica is not serving"),
                ConnectivityState::TransientFailure(error) => {
                    tracing::info!(replica = %self.address, %error, "replica cannot be reached");
                }
                ConnectivityState::Connecting => {}
            }
        }
        before
    }

    /// Takes an endpoint that is ready back to connecting if its connections are closed, so that calls wait until it is
    /// connected again: its connect loop may not have noticed yet. Returns whether that is so.
    pub(crate) fn notice_loss(&self) -> bool {
        let mut status = self.status.lock();
        // Under the lock: a connection is added before its endpoint becomes ready.
        let is_lost = status.connectivity == ConnectivityState::Ready && self.pool.is_closed();
        if is_lost {
            status.connectivity = ConnectivityState::Connecting;
            status.since = Instant::now();
            self.pool.request_connection();
        }
        is_lost
    }

    /// Connects again at once if the last attempt to connect failed at least `age` ago; calls wait for that. Returns
    /// whether that is so.
    pub(crate) fn retry_if_failed_for(&self, age: Duration) -> bool {
        let is_due = {
            let mut status = self.status.lock();
            let is_due =
                matches!(status.connectivity, ConnectivityState::TransientFailure(_)) && status.since.elapsed() >= age;
            status.is_retried |= is_due;
            is_due
        };
        if is_due {
            self.reconnect.notify_waiters();
        }
        is_due
    }

    /// Completes when the endpoint, which failed or rests, is to connect again before its back-off is over.
    pub(crate) fn reconnect_wanted(&self) -> Notified<'_> {
        self.reconnect.notified()
    }

    /// Lets the next attempt to connect wait, unless a call waits for it.
    pub(crate) fn rest(&self) {
        self.status.lock().is_resting = true;
    }

    /// Ends the endpoint's rest, if there is one, because a call waits for it.
    pub(crate) fn end_rest(&self) {
        if std::mem::take(&mut self.status.lock().is_resting) {
            self.reconnect.notify_waiters();
        }
    }

    /// Returns whether a call has succeeded, or failed as it should, since this was called last.
    pub(crate) fn take_has_replied(&self) -> bool {
        self.has_replied.swap(false, Ordering::Relaxed)
    }

    /// Returns why the endpoint cannot be called, or `None` if it can, or may soon.
    pub(crate) fn unreachable(&self) -> Option<String> {
        let status = self.status.lock();
        match &status.connectivity {
            ConnectivityState::Ready | ConnectivityState::Connecting => None,
            ConnectivityState::TransientFailure(_) if status.is_retried => None,
            ConnectivityState::NotServing => Some("it is not serving".to_owned()),
            ConnectivityState::TransientFailure(error) => Some(error.clone()),
        }
    }

    /// Returns whether the endpoint is ready, whether outlier detection lets it be called ([`CallHistory::admits`]), and its
    /// penalty for failures ([`CallHistory::penalty`]).
    pub(crate) fn admits(&self) -> (bool, Result<(), Option<Instant>>, u32) {
        let now = Instant::now();
        let status = self.status.lock();
        let is_ready = status.connectivity == ConnectivityState::Ready;
        (is_ready, status.history.admits(now), status.history.penalty(now))
    }

    /// Returns whether the endpoint is ready and not ejected.
    pub(crate) fn is_active(&self) -> bool {
        let status = self.status.lock();
        status.connectivity == ConnectivityState::Ready && status.history.state() == OutlierState::Active
    }

    /// Returns whether the endpoint is ejected, or being probed.
    pub(crate) fn is_ejected(&self) -> bool {
        self.status.lock().history.state() != OutlierState::Active
    }

    /// Returns how many calls have not ended.
    pub(crate) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// Records that a call starts, if the endpoint is ready and outlier detection lets it be called, or `also_ejected`. The
    /// call is pending until [`call_ended`](Self::call_ended). Returns the epoch it belongs to, and whether the outlier
    /// state changed; otherwise when to ask again, as [`CallHistory::admits`] does.
    pub(crate) fn admit(&self, also_ejected: bool) -> Result<(Epoch, bool), Option<Instant>> {
        let admitted = self.change_history(|status| {
            if status.connectivity != ConnectivityState::Ready {
                return Err(None);
            }
            if !also_ejected {
                status.history.admits(Instant::now())?;
            }
            Ok(status.history.called())
        });
        let (history, changed) = admitted?;
        self.pending.fetch_add(1, Ordering::Relaxed);
        Ok((history.epoch(), changed))
    }

    /// Records that a call is no longer pending.
    pub(crate) fn call_ended(&self) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
    }

    /// Records that a call of this epoch succeeded. Returns whether the outlier state changed.
    pub(crate) fn succeeded(&self, epoch: Epoch) -> bool {
        self.has_replied.store(true, Ordering::Relaxed);
        self.judge(epoch, CallHistory::succeeded)
    }

    /// Records that a call of this epoch failed by the endpoint's fault; `may_eject` says whether it may be ejected for
    /// that. Returns whether the outlier state changed.
    pub(crate) fn failed(&self, epoch: Epoch, may_eject: bool) -> bool {
        self.judge(epoch, |history| history.failed(may_eject, Instant::now()))
    }

    /// Records that the deadline of a call of this epoch passed. Returns whether the outlier state changed.
    pub(crate) fn late(&self, epoch: Epoch) -> bool {
        self.judge(epoch, |history| history.late(Instant::now()))
    }

    /// Records that a call of this epoch shows nothing. Returns whether the outlier state changed.
    pub(crate) fn abandoned(&self, epoch: Epoch) -> bool {
        self.judge(epoch, |history| history.abandoned(Instant::now()))
    }

    fn judge(&self, epoch: Epoch, verdict: impl FnOnce(CallHistory) -> CallHistory) -> bool {
        let changed = self.change_history(|Status { history, .. }| {
            Ok::<_, Infallible>(if history.epoch() == epoch { verdict(*history) } else { *history })
        });
        let Ok((_, changed)) = changed;
        changed
    }

    /// Changes the history, unless that is an error. Returns the new one, and whether the outlier state is another. Logs
    /// what has to be known of that.
    fn change_history<E>(
        &self,
        change: impl FnOnce(&Status) -> Result<CallHistory, E>,
    ) -> Result<(CallHistory, bool), E> {
        let (before, history) = {
            let mut status = self.status.lock();
            let before = status.history.state();
            status.history = change(&status)?;
            (before, status.history)
        };
        if before == history.state() {
            return Ok((history, false));
        }
        match history.state() {
            OutlierState::Ejected { until } if !matches!(before, OutlierState::Ejected { .. }) => {
                let for_ms = u64::try_from((until - Instant::now()).as_millis()).unwrap_or(u64::MAX);
                tracing::warn!(replica = %self.address, for_ms, "replica is ejected: its calls fail");
            }
            OutlierState::Active => tracing::info!(replica = %self.address, "replica is no longer ejected"),
            OutlierState::Ejected { .. } | OutlierState::Probing => {}
        }
        Ok((history, true))
    }
}

// === impl Mark ===

impl Mark {
    /// Returns one that none of these have, or one that as few of them have as any.
    pub(crate) fn unlike(others: impl Iterator<Item = Self>) -> Self {
        let mut uses = [0_usize; u64::BITS as usize];
        others.for_each(|Self(bit)| uses[bit.trailing_zeros() as usize] += 1);
        let least = (0..uses.len()).min_by_key(|bit| uses[*bit]).unwrap_or_default();
        Self(1 << least)
    }
}

// === impl Marks ===

impl Marks {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn contains(&self, Mark(bit): Mark) -> bool {
        self.0.load(Ordering::Relaxed) & bit != 0
    }

    pub(crate) fn add(&self, Mark(bit): Mark) {
        self.0.fetch_or(bit, Ordering::Relaxed);
    }
}

impl Clone for Marks {
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_differ_while_there_are_bits() {
        let mut marks = Vec::new();
        for _ in 0..64 {
            let mark = Mark::unlike(marks.iter().copied());
            assert!(!marks.contains(&mark));
            marks.push(mark);
        }
        assert_eq!(Mark::unlike(marks.iter().copied()), marks[0], "all are used once");
        let twice = marks.iter().chain(&marks[..5]).copied();
        assert_eq!(Mark::unlike(twice), marks[5], "the first that is used least");
        let freed = marks.remove(7);
        assert_eq!(Mark::unlike(marks.iter().copied()), freed);
        let tried = Marks::default();
        assert!(tried.is_empty());
        tried.add(freed);
        assert!(tried.contains(freed) && !tried.contains(marks[0]));
    }
}
