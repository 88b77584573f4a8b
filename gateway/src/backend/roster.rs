//! Which replicas of a backend there are, and how each is.

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

use super::{
    connections::Connections,
    ejection::{Record, Round, Standing, may_eject},
};

/// How long calls are refused because the last attempt to connect failed. One that comes later has it tried again.
const FRESH: Duration = Duration::from_millis(100);

/// The replicas that discovery knows, and why a name has none.
#[derive(Debug)]
pub(super) struct Roster {
    members: Mutex<BTreeMap<SocketAddr, Arc<Member>>>,
    /// Why the last attempt to resolve a name failed. `None` before the first ended, too.
    unresolved: Mutex<Option<String>>,
    max_ejected: f64,
    changed: watch::Sender<()>,
    lost: Notify,
    reconnect: Notify,
}

/// A replica.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) address: SocketAddr,
    pub(super) connections: Arc<Connections>,
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
pub(super) enum Link {
    /// Not yet, or not any more; it is worth waiting a moment.
    Connecting,
    /// It is connected, and says that it is serving.
    Ready,
    /// It is connected, and says that it is not serving.
    NotServing,
    /// The last attempt to connect failed.
    Failed(String),
}

// === impl Roster ===

impl Roster {
    /// A roster without members, of which at most this share may be ejected.
    pub(super) fn new(max_ejected: f64) -> Self {
        Self {
            members: Mutex::default(),
            unresolved: Mutex::default(),
            max_ejected,
            changed: watch::Sender::new(()),
            lost: Notify::new(),
            reconnect: Notify::new(),
        }
    }

    pub(super) fn add(&self, member: Arc<Member>) {
        self.members().insert(member.address, member);
        self.changed.send_replace(());
    }

    pub(super) fn remove(&self, address: SocketAddr) {
        self.members().remove(&address);
        self.changed.send_replace(());
    }

    /// Notes why a name has no address, or that all have.
    pub(super) fn set_unresolved(&self, why: Option<String>) {
        *self.unresolved.lock().unwrap_or_else(PoisonError::into_inner) = why;
        self.changed.send_replace(());
    }

    pub(super) fn set_link(&self, member: &Member, link: Link) {
        if member.state().link != link {
            match &link {
                Link::Ready => tracing::info!(replica = %member.address, "replica is ready"),
                Link::NotServing => tracing::info!(replica = %member.address, "replica is not serving"),
                Link::Failed(error) => tracing::info!(replica = %member.address, %error, "replica cannot be reached"),
                Link::Connecting => {}
            }
        }
        let before = {
            let mut state = member.state();
            state.linked_at = Instant::now();
            state.is_retried = false;
            std::mem::replace(&mut state.link, link)
        };
        if before == Link::Ready && !self.is_ready() {
            // The last one is lost. Those that failed may have come back since.
            self.reconnect_after(Duration::ZERO);
        }
        self.changed.send_replace(());
    }

    /// A call finds nobody to go to. All that failed are tried again at once, unless that was just done. Returns whether
    /// it is worth waiting for.
    pub(super) fn reconnect(&self) -> bool {
        // A name without an address may have one now.
        self.note_loss();
        self.reconnect_after(FRESH)
    }

    fn reconnect_after(&self, age: Duration) -> bool {
        let mut any = false;
        for member in self.members().values() {
            let mut state = member.state();
            if matches!(state.link, Link::Failed(_)) && state.linked_at.elapsed() >= age {
                state.is_retried = true;
                any = true;
            }
        }
        if any {
            self.reconnect.notify_waiters();
        }
        any
    }

    /// Until those that cannot be reached are to be tried again, before their time.
    pub(super) fn reconnect_wanted(&self) -> Notified<'_> {
        self.reconnect.notified()
    }

    /// Tells discovery that a replica was lost: its address may be gone.
    pub(super) fn note_loss(&self) {
        self.lost.notify_one();
    }

    /// Until a replica is lost.
    pub(super) async fn loss(&self) {
        self.lost.notified().await;
    }

    /// Wakes at each change of any member.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Whether a member may be called now: if not, when to ask again, unless it changes before.
    pub(super) fn admits(&self, member: &Member) -> Result<(), Option<Instant>> {
        let (is_ready, admitted) = {
            let state = member.state();
            (state.link == Link::Ready, state.record.admits(Instant::now()))
        };
        match admitted {
            _ if !is_ready => Err(None),
            Ok(()) => Ok(()),
            // Where nobody else is left, one that fails is better than none.
            Err(_) if !self.members().values().any(|member| member.is_in()) => Ok(()),
            Err(until) => Err(until),
        }
    }

    /// A call goes to a member, and belongs to this round of it.
    pub(super) fn called(&self, member: &Member) -> Round {
        self.change_record(member, Record::called).round()
    }

    /// A call to a member went well, or its failure was not the member's fault.
    pub(super) fn succeeded(&self, member: &Member, round: Round) {
        self.judge(member, round, Record::succeeded);
    }

    /// A call to a member failed by the member's fault.
    pub(super) fn failed(&self, member: &Member, round: Round) {
        let allowed = {
            let members = self.members();
            // Without itself: one that is probed is out, and stays out if the probe fails.
            let out = members.values().filter(|other| other.address != member.address && other.is_out()).count();
            may_eject(out, members.len(), self.max_ejected)
        };
        self.judge(member, round, |record| record.failed(allowed, Instant::now()));
    }

    /// A call to a member was given up.
    pub(super) fn abandoned(&self, member: &Member, round: Round) {
        self.judge(member, round, |record| record.abandoned(Instant::now()));
    }

    fn judge(&self, member: &Member, round: Round, verdict: impl FnOnce(Record) -> Record) {
        self.change_record(member, |record| if record.round() == round { verdict(record) } else { record });
    }

    fn change_record(&self, member: &Member, change: impl FnOnce(Record) -> Record) -> Record {
        let (before, record) = {
            let mut state = member.state();
            let before = state.record.standing();
            state.record = change(state.record);
            (before, state.record)
        };
        if before == record.standing() {
            return record;
        }
        match record.standing() {
            Standing::Out { until } if !matches!(before, Standing::Out { .. }) => {
                let for_ms = u64::try_from((until - Instant::now()).as_millis()).unwrap_or(u64::MAX);
                tracing::warn!(replica = %member.address, for_ms, "replica is left out: its calls fail");
            }
            Standing::In => tracing::info!(replica = %member.address, "replica takes part again"),
            Standing::Out { .. } | Standing::Probed => {}
        }
        self.changed.send_replace(());
        record
    }

    /// Why no replica can be called, or `None` where one can, or may soon.
    pub(super) fn unreachable(&self) -> Option<String> {
        let members = self.members();
        if members.is_empty() {
            return self.unresolved.lock().unwrap_or_else(PoisonError::into_inner).clone();
        }
        let mut why = None;
        for member in members.values() {
            let state = member.state();
            match &state.link {
                Link::Ready | Link::Connecting => return None,
                Link::Failed(_) if state.is_retried => return None,
                Link::NotServing => why = Some("it is not serving".to_owned()),
                Link::Failed(error) => why = Some(error.clone()),
            }
        }
        why
    }

    /// Whether a replica is ready.
    pub(super) fn is_ready(&self) -> bool {
        self.members().values().any(|member| member.state().link == Link::Ready)
    }

    /// How many members there are in each state.
    pub(super) fn census(&self) -> [(&'static str, u64); 5] {
        let mut census = ["ready", "ejected", "connecting", "not_serving", "failed"].map(|state| (state, 0));
        for member in self.members().values() {
            let out = member.is_out();
            let place = match (&member.state().link, out) {
                (Link::Ready, false) => 0,
                (Link::Ready, true) => 1,
                (Link::Connecting, _) => 2,
                (Link::NotServing, _) => 3,
                (Link::Failed(_), _) => 4,
            };
            census[place].1 += 1;
        }
        census
    }

    /// How many connections are open.
    pub(super) fn connections(&self) -> u64 {
        self.members().values().map(|member| member.connections.len() as u64).sum()
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Arc<Member>>> {
        // Nothing in here can panic between two changes that belong together.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Member ===

impl Member {
    pub(super) fn new(address: SocketAddr, max_connections: usize) -> Self {
        let state =
            State { link: Link::Connecting, linked_at: Instant::now(), is_retried: false, record: Record::default() };
        Self { address, connections: Arc::new(Connections::new(max_connections)), state: Mutex::new(state) }
    }

    /// See [`Record::suspicion`].
    pub(super) fn suspicion(&self) -> u32 {
        let record = self.state().record;
        record.suspicion(Instant::now())
    }

    fn is_in(&self) -> bool {
        let state = self.state();
        state.link == Link::Ready && state.record.standing() == Standing::In
    }

    fn is_out(&self) -> bool {
        self.state().record.standing() != Standing::In
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn roster(links: &[Link]) -> (Roster, Vec<Arc<Member>>) {
        let roster = Roster::new(0.5);
        let members: Vec<_> =
            (1..).zip(links).map(|(port, _)| Arc::new(Member::new(([127, 0, 0, 1], port).into(), 1))).collect();
        for (member, link) in members.iter().zip(links) {
            roster.add(Arc::clone(member));
            roster.set_link(member, link.clone());
        }
        (roster, members)
    }

    fn failed() -> Link {
        Link::Failed("refused".to_owned())
    }

    #[test]
    fn calls_wait_for_what_connects_and_not_for_what_failed() {
        assert_eq!(roster(&[failed(), Link::Connecting]).0.unreachable(), None);
        assert_eq!(roster(&[failed(), Link::Ready]).0.unreachable(), None);
        assert_eq!(roster(&[failed(), failed()]).0.unreachable().as_deref(), Some("refused"));
        assert_eq!(roster(&[Link::NotServing]).0.unreachable().as_deref(), Some("it is not serving"));
        let (empty, _) = roster(&[]);
        assert_eq!(empty.unreachable(), None, "nothing is known yet");
        empty.set_unresolved(Some("no such name".to_owned()));
        assert_eq!(empty.unreachable().as_deref(), Some("no such name"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_loss_of_the_last_gives_the_others_another_chance() {
        let (roster, members) = roster(&[failed(), Link::Ready, Link::Ready]);
        let wanted = roster.reconnect_wanted();
        tokio::pin!(wanted);
        roster.set_link(&members[1], failed());
        assert!(wanted.as_mut().now_or_never().is_none(), "there is another one");
        roster.set_link(&members[2], failed());
        wanted.await;
        for member in &members {
            assert_eq!(roster.unreachable(), None, "calls wait for each");
            roster.set_link(member, failed());
        }
        assert!(roster.unreachable().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_has_those_tried_again_that_failed_a_while_ago() {
        let (roster, members) = roster(&[failed(), failed()]);
        let wanted = roster.reconnect_wanted();
        assert!(!roster.reconnect(), "they have just been tried");
        assert!(roster.unreachable().is_some());
        tokio::time::advance(FRESH).await;
        assert!(roster.reconnect());
        wanted.await;
        assert_eq!(roster.unreachable(), None, "calls wait");
        roster.set_link(&members[0], failed());
        roster.set_link(&members[1], failed());
        assert!(roster.unreachable().is_some());
        assert!(!roster.reconnect(), "once in a while");
    }

    #[tokio::test(start_paused = true)]
    async fn calls_from_before_an_ejection_do_not_end_it_nor_prolong_it() {
        let (roster, members) = roster(&[Link::Ready, Link::Ready]);
        let member = &members[0];
        let before = roster.called(member);
        (0..5).for_each(|_| roster.failed(member, before));
        let Err(Some(until)) = roster.admits(member) else { panic!("it is out") };
        let later = |roster: &Roster| {
            roster.succeeded(member, before);
            roster.failed(member, before);
            roster.abandoned(member, before);
        };
        later(&roster);
        assert_eq!(roster.admits(member), Err(Some(until)));
        tokio::time::advance(until - Instant::now()).await;
        let probe = roster.called(member);
        later(&roster);
        assert_eq!(roster.admits(member), Err(None), "the probe is under way");
        roster.succeeded(member, probe);
        (0..9).for_each(|_| roster.failed(member, before));
        assert_eq!(roster.admits(member), Ok(()));
        assert_eq!(member.suspicion(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn half_of_the_replicas_may_be_left_out_and_the_last_one_never() {
        let (roster, members) = roster(&[Link::Ready, Link::Ready, Link::Ready]);
        for member in &members {
            let round = roster.called(member);
            (0..10).for_each(|_| roster.failed(member, round));
        }
        assert_eq!(roster.census()[1], ("ejected", 1), "half of three is one");
        let Err(Some(until)) = roster.admits(&members[0]) else { panic!("it is out") };
        // A probe that fails leaves it out, for longer; the others take part all the same.
        tokio::time::advance(until - Instant::now()).await;
        assert_eq!(roster.admits(&members[0]), Ok(()));
        let round = roster.called(&members[0]);
        roster.failed(&members[0], round);
        assert!(matches!(roster.admits(&members[0]), Err(Some(later)) if later > until));
        assert_eq!(roster.census()[1], ("ejected", 1));
        // The others go: the one that was left out is all there is.
        roster.set_link(&members[1], failed());
        roster.set_link(&members[2], failed());
        assert_eq!(roster.admits(&members[0]), Ok(()));
        assert_eq!(roster.admits(&members[1]), Err(None));
    }
}
