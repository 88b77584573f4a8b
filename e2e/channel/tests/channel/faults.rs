//! The faults of the chaos suite, under tonic's generated client: no call fails where the gateway's do not.

use std::time::Duration;

use channel_tests::{
    proxy::Proxy,
    raw::{Act, RawServer},
    server::{Behaviour, EchoServer},
};
use grpc_channel::Config;
use h2::Reason;
use tokio::{net::TcpListener, task::JoinSet};
use tonic::Code;

use crate::{
    Client, builder,
    callers::{CALLERS, Callers, Rpc, call_many, until_each_is_called},
    client, event, hanging,
    metrics::Metrics,
    quick, text,
};

const DELAY: Duration = Duration::from_millis(2);

/// Servers behind proxies that can be killed.
struct Fleet {
    servers: Vec<EchoServer>,
    proxies: Vec<Proxy>,
}

impl Fleet {
    async fn start(servers: usize) -> Self {
        let mut fleet = Self { servers: Vec::new(), proxies: Vec::new() };
        for _ in 0..servers {
            let server = EchoServer::start(Behaviour::slow(DELAY)).await;
            fleet.proxies.push(Proxy::start(server.address()).await);
            fleet.servers.push(server);
        }
        fleet
    }

    async fn client(&self, config: Config) -> Client {
        let urls: Vec<_> = self.proxies.iter().map(Proxy::url).collect();
        client(&urls, config).await
    }

    fn calls(&self, number: usize) -> usize {
        self.servers[number].log().counts().begun
    }
}

/// No call fails: calls in flight are sent to another replica, and the killed one gets calls again after its restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_is_killed_and_comes_back() {
    let mut fleet = Fleet::start(3).await;
    let callers = Callers::start(&fleet.client(Config::default()).await, Rpc::Get);
    for _ in 0..3 {
        callers.wait_for_calls(500).await;
        fleet.proxies[0].kill().await;
        callers.wait_for_calls(500).await;
        let before = fleet.calls(0);
        fleet.proxies[0].restart().await;
        callers.wait_until("it is called again", || fleet.calls(0) >= before + 50).await;
    }
    let observed = callers.stop().await;
    assert_eq!(observed.failed(), 0, "{observed:?}");
}

/// Calls that must not be sent twice fail only if they were in flight on a killed connection, and their status says that
/// they may have been seen; each reaches a server once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_costs_what_was_in_flight_and_may_not_be_sent_twice() {
    for rpc in [Rpc::Create, Rpc::List, Rpc::Collect, Rpc::Chat] {
        let mut fleet = Fleet::start(3).await;
        let callers = Callers::start(&fleet.client(Config::default()).await, rpc);
        callers.wait_for_calls(500).await;
        fleet.proxies[0].kill().await;
        callers.wait_for_calls(500).await;
        let observed = callers.stop().await;
        assert!(observed.failed() <= CALLERS, "{rpc:?}: {observed:?}");
        let begun: usize = (0..3).map(|number| fleet.calls(number)).sum();
        assert!(begun <= observed.calls(), "{rpc:?}: {begun} of {observed:?} reached a server");
    }
}

/// No call fails, some take longer: the keepalive detects the stopped replica, and its calls are sent to the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_stops_answering_and_wakes_up() {
    let fleet = Fleet::start(2).await;
    let callers = Callers::start(&fleet.client(quick()).await, Rpc::Get);
    callers.wait_for_calls(500).await;
    fleet.proxies[0].stop();
    callers.wait_for_calls(2000).await;
    let before = fleet.calls(0);
    fleet.proxies[0].go_on();
    callers.wait_until("it is called again", || fleet.calls(0) >= before + 100).await;
    let observed = callers.stop().await;
    assert_eq!(observed.failed(), 0, "{observed:?}");
    assert!(observed.longest < Duration::from_secs(5), "half a second to detect it, and one retry: {observed:?}");
}

/// Calls fail at once; after the servers' restart they succeed, on the same channel.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_are_killed_and_come_back() {
    let mut fleet = Fleet::start(2).await;
    let config = Config { breaker_wait: Duration::from_millis(100), ..Config::default() };
    let client = fleet.client(config).await;
    assert_eq!(call_many(&client, Rpc::Get, 100).await.failed(), 0);
    for proxy in &mut fleet.proxies {
        proxy.kill().await;
    }
    let down = call_many(&client, Rpc::Get, 1000).await;
    assert!(down.failed() == down.calls() && down.statuses.keys().all(|status| status.starts_with("Unavailable")));
    assert!(down.longest < Duration::from_secs(5), "{down:?}");
    for proxy in &mut fleet.proxies {
        proxy.restart().await;
    }
    let before = [fleet.calls(0), fleet.calls(1)];
    let callers = Callers::start(&client, Rpc::List);
    callers
        .wait_until("both are called again", || (0..2).all(|number| fleet.calls(number) >= before[number] + 50))
        .await;
    callers.stop().await;
    assert_eq!(call_many(&client, Rpc::List, 500).await.failed(), 0);
}

/// One of two endpoints refuses connections from the start: no call notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_is_refused() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let server = EchoServer::start(Behaviour::default()).await;
    let client = client(&[format!("http://{nobody}"), server.url()], Config::default()).await;
    for rpc in Rpc::ALL {
        assert_eq!(call_many(&client, rpc, 300).await.failed(), 0, "{rpc:?}");
    }
}

/// No idempotent call fails: those on a connection that is reset are sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_reset_in_mid_reply() {
    let servers = [EchoServer::start(Behaviour::slow(DELAY)).await, EchoServer::start(Behaviour::slow(DELAY)).await];
    let broken = Proxy::resetting(servers[0].address(), 20_000).await;
    let client = client(&[broken.url(), servers[1].url()], Config::default()).await;
    let observed = call_many(&client, Rpc::Get, 3000).await;
    assert_eq!(observed.failed(), 0, "{observed:?}");
    assert!(servers[0].log().counts().begun > 300, "it still gets calls");
}

/// No call fails, and few are as slow as the replica: the others are hedged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_replica_is_hedged() {
    const SLOW: Duration = Duration::from_secs(1);
    let (slow, fast) =
        (EchoServer::start(Behaviour::slow(SLOW)).await, EchoServer::start(Behaviour::slow(DELAY)).await);
    let hedge = grpc_channel::HedgeAfter::Delay(Duration::from_millis(20));
    let config = Config { hedge, hedge_budget: 1.0, ..Config::default() };
    let client = client(&[slow.url(), fast.url()], config).await;
    let callers = Callers::start(&client, Rpc::Get);
    callers.wait_until("the slow one is called", || slow.log().counts().begun > 0).await;
    callers.wait_for_calls(2000).await;
    let observed = callers.stop().await;
    assert_eq!(observed.failed(), 0, "{observed:?}");
    let (called, replied) = (slow.log().counts().begun, slow.log().counts().ended);
    assert!(5 * replied <= called, "{replied} of {called} calls waited for the slow replica");
}

/// Each call goes to both, whichever is the first and however busy they are: a hedge to the one that is late would be late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hedge_goes_to_another_replica() {
    const CALLS: usize = 100;
    let servers = [EchoServer::start(Behaviour::default()).await, EchoServer::start(Behaviour::default()).await];
    let begun = || servers.each_ref().map(|server| server.log().counts().begun);
    let hedge = grpc_channel::HedgeAfter::Delay(DELAY);
    let config = Config { hedge, hedge_budget: 1.0, ..Config::default() };
    let client = client(&servers.each_ref().map(EchoServer::url), config).await;
    // These are never hedged.
    let callers = Callers::start(&client, Rpc::Create);
    callers.wait_until("both are called", || !begun().contains(&0)).await;
    callers.stop().await;

    let before = begun();
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        let mut client = client.clone();
        calls.spawn(async move { client.get(hanging()).await });
    }
    for (server, before) in servers.iter().zip(before) {
        event("each call is hedged", server.log().wait_for(|counts| counts.begun >= before + CALLS)).await;
    }
    assert_eq!(begun(), before.map(|before| before + CALLS), "once");
}

/// No idempotent call fails: they are retried, and the replica is ejected except for probes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_fails_every_call() {
    let failing = EchoServer::start(Behaviour::failing(usize::MAX, Code::Unavailable)).await;
    let (good, other) =
        (EchoServer::start(Behaviour::slow(DELAY)).await, EchoServer::start(Behaviour::slow(DELAY)).await);
    let (mut client, metrics) = Metrics::of(builder(&[failing.url(), good.url(), other.url()])).await;
    // While there is no other to call, an endpoint is called although it is ejected.
    until_each_is_called(&mut client, Rpc::Get, &[&good, &other]).await;
    let callers = Callers::start(&client, Rpc::Get);
    callers.wait_until("it is ejected", || metrics.endpoints("ejected") > 0.0).await;
    let before = failing.log().counts().begun;
    callers.wait_for_calls(4000).await;
    let observed = callers.stop().await;
    assert_eq!(observed.failed(), 0, "{observed:?}");
    // Those in flight at that moment, and one probe after 1, 2, 4, … seconds.
    let called = failing.log().counts().begun - before;
    assert!(called <= CALLERS + 6, "{called} calls reached it");
}

/// No call fails whose request is one message: a server that ends its connections gracefully answers what it has taken,
/// and what it has not taken goes to the other. Requests that stream cannot be sent again: those that the server did not
/// take fail, and their status says that nobody has seen them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_is_shut_down() {
    for rpc in Rpc::ALL {
        let (leaving, staying) =
            (EchoServer::start(Behaviour::slow(DELAY)).await, EchoServer::start(Behaviour::slow(DELAY)).await);
        let client = client(&[leaving.url(), staying.url()], Config::default()).await;
        let callers = Callers::start(&client, rpc);
        let log = leaving.log().clone();
        callers.wait_until("it is called", || log.counts().begun > 50).await;
        leaving.shut_down().await;
        callers.wait_for_calls(300).await;
        let observed = callers.stop().await;
        let may_fail = if matches!(rpc, Rpc::Collect | Rpc::Chat) { CALLERS } else { 0 };
        assert!(observed.failed() <= may_fail, "{rpc:?}: {observed:?}");
        assert_eq!(observed.seen, 0, "{rpc:?}: {observed:?}");
    }
}

/// A server that refuses every tenth stream: what it refused was not processed, so no call fails, idempotent or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_refused() {
    let server = RawServer::start(|number| if number.is_multiple_of(10) { Act::Refuse } else { Act::Reply("a") }).await;
    let client = client(&[server.url()], Config::default()).await;
    let observed = call_many(&client, Rpc::Create, 1000).await;
    assert_eq!(observed.failed(), 0, "{observed:?}");
}

/// A server that resets every stream: calls fail as UNAVAILABLE, and the channel recovers when it does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stream_is_reset() {
    let server =
        RawServer::start(|number| if number < 200 { Act::Reset(Reason::INTERNAL_ERROR) } else { Act::Reply("a") })
            .await;
    let config = Config { breaker_wait: Duration::from_millis(20), ..Config::default() };
    let mut client = crate::connected(builder(&[server.url()]).config(config)).await;
    let recovered = async {
        loop {
            match client.get(text("a")).await {
                Ok(_) => return,
                Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
            }
        }
    };
    crate::event("calls succeed again", recovered).await;
}
