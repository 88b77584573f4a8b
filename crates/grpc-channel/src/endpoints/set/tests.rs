use std::{
    sync::atomic::AtomicUsize,
    task::{Context, Wake},
};

use futures::FutureExt as _;

use super::*;

fn set(links: &[ConnectivityState]) -> (EndpointSet, Vec<Arc<Endpoint>>) {
    let set = EndpointSet::new(0.5);
    let endpoints: Vec<_> = (1..).zip(links).map(|(port, _)| set.add(([127, 0, 0, 1], port).into(), 1)).collect();
    for (endpoint, state) in endpoints.iter().zip(links) {
        set.set_connectivity(endpoint, state.clone());
    }
    (set, endpoints)
}

fn failed() -> ConnectivityState {
    ConnectivityState::TransientFailure("refused".to_owned())
}

#[test]
fn calls_wait_for_what_connects_and_not_for_what_failed() {
    assert_eq!(set(&[failed(), ConnectivityState::Connecting]).0.unreachable(), None);
    assert_eq!(set(&[failed(), ConnectivityState::Ready]).0.unreachable(), None);
    assert_eq!(set(&[failed(), failed()]).0.unreachable().as_deref(), Some("refused"));
    assert_eq!(set(&[ConnectivityState::NotServing]).0.unreachable().as_deref(), Some("it is not serving"));
    let (empty, _) = set(&[]);
    assert_eq!(empty.unreachable(), None, "nothing is known yet");
    empty.set_resolution_error(Some("no such name".to_owned()));
    assert_eq!(empty.unreachable().as_deref(), Some("no such name"));
}

#[tokio::test(start_paused = true)]
async fn the_loss_of_the_last_gives_the_others_another_chance() {
    let (set, endpoints) = set(&[failed(), ConnectivityState::Ready, ConnectivityState::Ready]);
    let wanted = endpoints[0].reconnect_wanted();
    tokio::pin!(wanted);
    set.set_connectivity(&endpoints[1], failed());
    assert!(wanted.as_mut().now_or_never().is_none(), "there is another one");
    set.set_connectivity(&endpoints[2], failed());
    wanted.await;
    for endpoint in &endpoints {
        assert_eq!(set.unreachable(), None, "calls wait for each");
        set.set_connectivity(endpoint, failed());
    }
    assert!(set.unreachable().is_some());
}

#[tokio::test(start_paused = true)]
async fn calls_wait_for_an_endpoint_whose_loss_they_notice_first() {
    let (set, endpoints) = set(&[ConnectivityState::Ready, failed()]);
    let wanted = endpoints[1].reconnect_wanted();
    // It has no connection.
    set.notice_loss(&endpoints[0]);
    assert_eq!(set.admits(&endpoints[0]), Err(None));
    assert_eq!(set.unreachable(), None, "it is worth waiting");
    endpoints[0].pool.wanted().await;
    wanted.await;
    set.notice_loss(&endpoints[1]);
    assert_eq!(endpoints[1].connectivity(), failed(), "it was not ready");
}

#[tokio::test(start_paused = true)]
async fn a_call_has_those_tried_again_that_failed_a_while_ago() {
    let (set, endpoints) = set(&[failed(), failed()]);
    let wanted = endpoints[0].reconnect_wanted();
    assert!(!set.reconnect(), "they have just been tried");
    assert!(set.unreachable().is_some());
    tokio::time::advance(FRESH).await;
    assert!(set.reconnect());
    wanted.await;
    assert_eq!(set.unreachable(), None, "calls wait");
    set.set_connectivity(&endpoints[0], failed());
    set.set_connectivity(&endpoints[1], failed());
    assert!(set.unreachable().is_some());
    assert!(!set.reconnect(), "once in a while");
}

#[tokio::test(start_paused = true)]
async fn calls_from_before_an_ejection_do_not_end_it_nor_prolong_it() {
    let (set, endpoints) = set(&[ConnectivityState::Ready, ConnectivityState::Ready]);
    let endpoint = &endpoints[0];
    let before = set.admit(endpoint).unwrap();
    (0..5).for_each(|_| set.failed(endpoint, before));
    let Err(Some(until)) = set.admits(endpoint) else { panic!("it is out") };
    let later = |set: &EndpointSet| {
        set.succeeded(endpoint, before);
        set.failed(endpoint, before);
        set.abandoned(endpoint, before);
    };
    later(&set);
    assert_eq!(set.admits(endpoint), Err(Some(until)));
    tokio::time::advance(until - Instant::now()).await;
    let probe = set.admit(endpoint).unwrap();
    later(&set);
    assert_eq!(set.admits(endpoint), Err(None), "the probe is under way");
    set.succeeded(endpoint, probe);
    (0..9).for_each(|_| set.failed(endpoint, before));
    assert_eq!(set.admits(endpoint), Ok(0), "without a penalty");
}

#[tokio::test(start_paused = true)]
async fn half_of_the_replicas_may_be_left_out_and_the_last_one_never() {
    let (set, endpoints) = set(&[ConnectivityState::Ready, ConnectivityState::Ready, ConnectivityState::Ready]);
    for endpoint in &endpoints {
        let epoch = set.admit(endpoint).unwrap();
        (0..10).for_each(|_| set.failed(endpoint, epoch));
    }
    assert_eq!(set.count_by_state()[1], ("ejected", 1), "half of three is one");
    let Err(Some(until)) = set.admits(&endpoints[0]) else { panic!("it is out") };
    // A probe that fails leaves it out, for longer; the others take part all the same.
    tokio::time::advance(until - Instant::now()).await;
    assert!(set.admits(&endpoints[0]).is_ok());
    let epoch = set.admit(&endpoints[0]).unwrap();
    set.failed(&endpoints[0], epoch);
    assert!(matches!(set.admits(&endpoints[0]), Err(Some(later)) if later > until));
    assert_eq!(set.count_by_state()[1], ("ejected", 1));
    // The others go: the one that was left out is all there is.
    set.set_connectivity(&endpoints[1], failed());
    set.set_connectivity(&endpoints[2], failed());
    assert!(set.admits(&endpoints[0]).is_ok());
    assert_eq!(set.admits(&endpoints[1]), Err(None));
}

/// Counts how often a task is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_one_in_a_thousand_wakes_whom_it_concerns() {
    let (set, endpoints) = set(&vec![ConnectivityState::Ready; 1_000]);
    let wakes: Vec<_> = endpoints.iter().map(|_| Arc::<Wakes>::default()).collect();
    let tasks = endpoints.iter().zip(&wakes).map(|(endpoint, wakes)| {
        let mut wanted = Box::pin(endpoint.reconnect_wanted());
        assert!(wanted.as_mut().poll(&mut Context::from_waker(&Arc::clone(wakes).into())).is_pending());
        wanted
    });
    let _tasks: Vec<_> = tasks.collect();
    let woken = || {
        let woken = wakes.iter().enumerate().filter(|(_, wakes)| wakes.0.load(Ordering::Relaxed) > 0);
        woken.map(|(index, _)| index).collect::<Vec<_>>()
    };
    // Not serving, lost, back, ejected, and well again.
    for state in [ConnectivityState::NotServing, failed(), ConnectivityState::Connecting, ConnectivityState::Ready] {
        set.set_connectivity(&endpoints[7], state);
    }
    set.notice_loss(&endpoints[8]);
    while set.admits(&endpoints[9]).is_ok() {
        let epoch = set.admit(&endpoints[9]).unwrap();
        set.failed(&endpoints[9], epoch);
    }
    tokio::time::advance(Duration::from_mins(1)).await;
    let probe = set.admit(&endpoints[9]).unwrap();
    set.succeeded(&endpoints[9], probe);
    assert!(woken().is_empty(), "{:?}", woken());
    // Failed ones are tried again if calls want them, and one that rests is.
    for index in [3, 500] {
        set.set_connectivity(&endpoints[index], failed());
    }
    tokio::time::advance(FRESH).await;
    assert!(set.reconnect());
    assert_eq!(woken(), [3, 500]);
    set.rest(&endpoints[999]);
    set.end_rest();
    assert_eq!(woken(), [3, 500, 999]);
}
