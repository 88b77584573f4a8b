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
