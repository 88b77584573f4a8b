//! One replica: whether it can be reached, and how its calls end.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    endpoints::outlier_detection::{Record, Round, Standing},
    transport::pool::Connections,
};

/// A replica.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<Connections>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    link: Link,
    /// When it came to be so, or was found to be so again.
    linked_at: Instant,
    /// It failed, and is tried again because calls need it.
    is_retried: bool,
    record: Record,
}

/// Whether a replica can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Not yet, or not any more; it is worth waiting a moment.
    Connecting,
    /// It is connected, and says that it is serving.
    Ready,
    /// It is connected, and says that it is not serving.
    NotServing,
    /// The last attempt to connect failed.
    Failed(String),
}

// === impl Member ===

impl Member {
    pub(crate) fn new(address: SocketAddr, max_connections: usize) -> Self {
        let state =
            State { link: Link::Connecting, linked_at: Instant::now(), is_retried: false, record: Record::default() };
        Self { address, connections: Arc::new(Connections::new(max_connections)), state: Mutex::new(state) }
    }

    pub(crate) fn link(&self) -> Link {
        self.state().link.clone()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.state().link == Link::Ready
    }

    /// Sets whether it can be reached, and returns what was so before.
    pub(crate) fn set_link(&self, link: Link) -> Link {
        let before = {
            let mut state = self.state();
            state.linked_at = Instant::now();
            state.is_retried = false;
            std::mem::replace(&mut state.link, link.clone())
        };
        if before != link {
            match link {
                Link::Ready => tracing::info!(replica = %self.address, "replica is ready"),
                Link::NotServing => tracing::info!(replica = %self.address, "replica is not serving"),
                Link::Failed(error) => tracing::info!(replica = %self.address, %error, "replica cannot be reached"),
                Link::Connecting => {}
            }
        }
        before
    }

    /// Whether the last attempt to connect failed at least so long ago. If it did, calls wait for the next one.
    pub(crate) fn retry_if_failed_for(&self, age: Duration) -> bool {
        let mut state = self.state();
        let is_due = matches!(state.link, Link::Failed(_)) && state.linked_at.elapsed() >= age;
        state.is_retried |= is_due;
        is_due
    }

    /// Why it cannot be called, or `None` where it can, or may soon.
    pub(crate) fn unreachable(&self) -> Option<String> {
        let state = self.state();
        match &state.link {
            Link::Ready | Link::Connecting => None,
            Link::Failed(_) if state.is_retried => None,
            Link::NotServing => Some("it is not serving".to_owned()),
            Link::Failed(error) => Some(error.clone()),
        }
    }

    /// Whether it is ready, and whether it may be called by how its calls ended: see [`Record::admits`].
    pub(crate) fn admits(&self) -> (bool, Result<(), Option<Instant>>) {
        let state = self.state();
        (state.link == Link::Ready, state.record.admits(Instant::now()))
    }

    /// See [`Record::suspicion`].
    pub(crate) fn suspicion(&self) -> u32 {
        let record = self.state().record;
        record.suspicion(Instant::now())
    }

    /// Whether it is ready, and takes part.
    pub(crate) fn is_in(&self) -> bool {
        let state = self.state();
        state.link == Link::Ready && state.record.standing() == Standing::In
    }

    /// Whether it is left out for its failures, but for a probe.
    pub(crate) fn is_out(&self) -> bool {
        self.state().record.standing() != Standing::In
    }

    /// A call goes to it: to which round it belongs, and whether its standing changed.
    pub(crate) fn called(&self) -> (Round, bool) {
        let (record, changed) = self.change_record(Record::called);
        (record.round(), changed)
    }

    /// A call of this round went well. Returns whether its standing changed.
    pub(crate) fn succeeded(&self, round: Round) -> bool {
        self.judge(round, Record::succeeded)
    }

    /// A call of this round failed by its fault; `allowed` says whether it may be left out. Returns whether its standing
    /// changed.
    pub(crate) fn failed(&self, round: Round, allowed: bool) -> bool {
        self.judge(round, |record| record.failed(allowed, Instant::now()))
    }

    /// A call of this round was given up. Returns whether its standing changed.
    pub(crate) fn abandoned(&self, round: Round) -> bool {
        self.judge(round, |record| record.abandoned(Instant::now()))
    }

    fn judge(&self, round: Round, verdict: impl FnOnce(Record) -> Record) -> bool {
        self.change_record(|record| if record.round() == round { verdict(record) } else { record }).1
    }

    fn change_record(&self, change: impl FnOnce(Record) -> Record) -> (Record, bool) {
        let (before, record) = {
            let mut state = self.state();
            let before = state.record.standing();
            state.record = change(state.record);
            (before, state.record)
        };
        if before == record.standing() {
            return (record, false);
        }
        match record.standing() {
            Standing::Out { until } if !matches!(before, Standing::Out { .. }) => {
                let for_ms = u64::try_from((until - Instant::now()).as_millis()).unwrap_or(u64::MAX);
                tracing::warn!(replica = %self.address, for_ms, "replica is left out: its calls fail");
            }
            Standing::In => tracing::info!(replica = %self.address, "replica takes part again"),
            Standing::Out { .. } | Standing::Probed => {}
        }
        (record, true)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
