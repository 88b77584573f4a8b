//! Which replicas of a backend there are, and who is to know when one changes.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, futures::Notified, watch},
    time::Instant,
};

use crate::{
    endpoints::endpoint::{Link, Member},
    endpoints::outlier_detection::{Round, may_eject},
};

/// How long calls are refused because the last attempt to connect failed. One that comes later has it tried again.
const FRESH: Duration = Duration::from_millis(100);

/// The replicas that discovery knows, and why a name has none.
#[derive(Debug)]
pub(crate) struct Roster {
    members: Mutex<BTreeMap<SocketAddr, Arc<Member>>>,
    /// Why the last attempt to resolve a name failed. `None` before the first ended, too.
    unresolved: Mutex<Option<String>>,
    max_ejected: f64,
    changed: watch::Sender<()>,
    lost: Notify,
    reconnect: Notify,
}

// === impl Roster ===

impl Roster {
    /// A roster without members, of which at most this share may be ejected.
    pub(crate) fn new(max_ejected: f64) -> Self {
        Self {
            members: Mutex::default(),
            unresolved: Mutex::default(),
            max_ejected,
            changed: watch::Sender::new(()),
            lost: Notify::new(),
            reconnect: Notify::new(),
        }
    }

    pub(crate) fn add(&self, member: Arc<Member>) {
        self.members().insert(member.address, member);
        self.changed.send_replace(());
    }

    pub(crate) fn remove(&self, address: SocketAddr) {
        self.members().remove(&address);
        self.changed.send_replace(());
    }

    /// Notes why a name has no address, or that all have.
    pub(crate) fn set_unresolved(&self, why: Option<String>) {
        *self.unresolved.lock().unwrap_or_else(PoisonError::into_inner) = why;
        self.changed.send_replace(());
    }

    pub(crate) fn set_link(&self, member: &Member, link: Link) {
        if member.set_link(link) == Link::Ready && !self.is_ready() {
            // The last one is lost. Those that failed may have come back since.
            self.reconnect_after(Duration::ZERO);
        }
        self.changed.send_replace(());
    }

    /// A call finds nobody to go to. All that failed are tried again at once, unless that was just done. Returns whether
    /// it is worth waiting for.
    pub(crate) fn reconnect(&self) -> bool {
        // A name without an address may have one now.
        self.note_loss();
        self.reconnect_after(FRESH)
    }

    fn reconnect_after(&self, age: Duration) -> bool {
        let mut any = false;
        for member in self.members().values() {
            any |= member.retry_if_failed_for(age);
        }
        if any {
            self.reconnect.notify_waiters();
        }
        any
    }

    /// Until those that cannot be reached are to be tried again, before their time.
    pub(crate) fn reconnect_wanted(&self) -> Notified<'_> {
        self.reconnect.notified()
    }

    /// Tells discovery that a replica was lost: its address may be gone.
    pub(crate) fn note_loss(&self) {
        self.lost.notify_one();
    }

    /// Until a replica is lost.
    pub(crate) async fn loss(&self) {
        self.lost.notified().await;
    }

    /// Wakes at each change of any member.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Whether a member may be called now: if not, when to ask again, unless it changes before.
    pub(crate) fn admits(&self, member: &Member) -> Result<(), Option<Instant>> {
        let (is_ready, admitted) = member.admits();
        match admitted {
            _ if !is_ready => Err(None),
            Ok(()) => Ok(()),
            // Where nobody else is left, one that fails is better than none.
            Err(_) if !self.members().values().any(|member| member.is_in()) => Ok(()),
            Err(until) => Err(until),
        }
    }

    /// A call goes to a member, and belongs to this round of it.
    pub(crate) fn called(&self, member: &Member) -> Round {
        let (round, changed) = member.called();
        self.tell(changed);
        round
    }

    /// A call to a member went well, or its failure was not the member's fault.
    pub(crate) fn succeeded(&self, member: &Member, round: Round) {
        self.tell(member.succeeded(round));
    }

    /// A call to a member failed by the member's fault.
    pub(crate) fn failed(&self, member: &Member, round: Round) {
        let changed = {
            // Held until it is out, so that two that fail at once are not both the one that may be left out.
            let members = self.members();
            // Without itself: one that is probed is out, and stays out if the probe fails.
            let out = members.values().filter(|other| other.address != member.address && other.is_out()).count();
            member.failed(round, may_eject(out, members.len(), self.max_ejected))
        };
        self.tell(changed);
    }

    /// A call to a member was given up.
    pub(crate) fn abandoned(&self, member: &Member, round: Round) {
        self.tell(member.abandoned(round));
    }

    fn tell(&self, changed: bool) {
        if changed {
            self.changed.send_replace(());
        }
    }

    /// Why no replica can be called, or `None` where one can, or may soon.
    pub(crate) fn unreachable(&self) -> Option<String> {
        let members = self.members();
        if members.is_empty() {
            return self.unresolved.lock().unwrap_or_else(PoisonError::into_inner).clone();
        }
        let mut why = None;
        for member in members.values() {
            why = Some(member.unreachable()?);
        }
        why
    }

    /// Whether a replica is ready.
    pub(crate) fn is_ready(&self) -> bool {
        self.members().values().any(|member| member.is_ready())
    }

    /// How many members there are in each state.
    pub(crate) fn census(&self) -> [(&'static str, u64); 5] {
        let mut census = ["ready", "ejected", "connecting", "not_serving", "failed"].map(|state| (state, 0));
        for member in self.members().values() {
            let place = match member.link() {
                Link::Ready if member.is_out() => 1,
                Link::Ready => 0,
                Link::Connecting => 2,
                Link::NotServing => 3,
                Link::Failed(_) => 4,
            };
            census[place].1 += 1;
        }
        census
    }

    /// How many connections are open.
    pub(crate) fn connections(&self) -> u64 {
        self.members().values().map(|member| member.connections.len() as u64).sum()
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Arc<Member>>> {
        // Nothing in here can panic between two changes that belong together.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
