//! Attackers that send little, and keep what they take.

use e2e::wait::within;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    attacker::Attacker,
    frames::{INITIAL_WINDOW_SIZE, PREFACE, call, data, headers, settings, stream},
    honest::Honest,
    target::{Target, against_all, against_each},
    victim::{Victim, Warned},
};

/// Opens connections that send these bytes and then nothing.
pub(crate) async fn open(address: &str, connections: usize, bytes: &[u8]) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for _ in 0..connections {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(bytes).await.unwrap();
        open.push(connection);
    }
    open
}

/// Lets this process open as many connections as the system allows.
fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// Waits until the server has closed all of them.
pub(crate) async fn all_closed(connections: Vec<TcpStream>) {
    for mut connection in connections {
        // The end of the stream, or a reset if the server has not read all.
        let closed = within("a silent connection is closed", connection.read(&mut [0; 64])).await;
        assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_preface() {
    against_all(async |target| {
        let victim = Victim::start(target, "0").await;
        let honest = Honest::start(&victim).await;
        all_closed(open(victim.address(), 200, &PREFACE[..12]).await).await;
        honest.finish().await;
        victim.assert_held("half a preface", Warned::Never);
    })
    .await;
}

/// More connections than the process may have file descriptors. They wait until others are closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_file_descriptors() {
    against_all(async |target| {
        let victim = Victim::start_after(target, "ulimit -n 96").await;
        let silent = open(victim.address(), 150, &[]).await;
        // It waits in the queue of the operating system behind all of them.
        Honest::start(&victim).await.finish().await;
        all_closed(silent).await;
        victim.assert_idle("no file descriptors");
        victim.assert_held("no file descriptors", Warned::Throttled(1));
    })
    .await;
}

/// The limit that most systems set is raised to the one that they allow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_connections_than_the_soft_limit() {
    raise_limit();
    against_all(async |target| {
        let victim = Victim::start_after(target, "ulimit -S -n 256").await;
        let silent = open(victim.address(), 1_200, &[]).await;
        Honest::start(&victim).await.finish().await;
        victim.assert_held("more connections than the soft limit", Warned::Never);
        all_closed(silent).await;
    })
    .await;
}

/// As many connections as there may be, all of which speak HTTP/2 and make no call. Those give way to honest callers, who
/// come later, and none of which gives way to the attacker's next ones.
async fn all_connections_taken(target: Target) {
    const MAX: usize = 4_096;
    raise_limit();
    let victim = Victim::start(target, "0").await;
    let before = Honest::start(&victim).await;
    let hello = [PREFACE, &settings(&[])].concat();
    let mut idle = open(victim.address(), MAX, &hello).await;
    for _ in 0..5 {
        Honest::start(&victim).await.finish().await;
    }
    idle.extend(open(victim.address(), 100, &hello).await);
    before.finish().await;
    // What the manifests for Kubernetes allow. Each connection has buffers of 17 KiB.
    victim.assert_held_within("all connections taken", Warned::Throttled(1), 128 << 10);
}

async fn headers_without_a_message(target: Target) {
    let victim = Victim::start(target, "20ms").await;
    let honest = Honest::start(&victim).await;
    let mut attacker = Attacker::connect(victim.address(), &[]).await;
    let frames: Vec<_> = (0..20_000).flat_map(|call| headers(stream(call), target.path())).collect();
    attacker.send(&frames).await;
    // The first 1,024 are in flight, as many others are refused.
    attacker.closed().await;
    honest.finish().await;
    victim.assert_held("headers without a message", Warned::Throttled(1));
}

/// Large messages that never end: each connection sends as much of them as its windows let it at once.
async fn large_messages_without_an_end(target: Target) {
    const CONNECTIONS: usize = 64;
    const CALLS: u32 = 64;
    let victim = Victim::start(target, "0").await;
    let honest = Honest::start(&victim).await;
    // Of a message of 4 MiB: a little less than the window of a call.
    let mut beginning = vec![0; 60 << 10];
    beginning[..5].copy_from_slice(&[0, 0, 0x40, 0, 0]);
    let mut attackers = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut attacker = Attacker::connect(victim.address(), &[]).await;
        for index in 0..CALLS {
            attacker.send(&headers(stream(index), target.path())).await;
            for part in beginning.chunks(16 << 10) {
                attacker.send(&data(stream(index), part)).await;
            }
        }
        attackers.push(attacker);
    }
    // Most of them find no room.
    attackers.last_mut().unwrap().ended(1).await;
    honest.finish().await;
    victim.assert_held("large messages without an end", Warned::Throttled(1));
}

/// An attacker whose window is empty holds its permits, but only until its calls' deadline.
async fn replies_that_are_never_read(target: Target) {
    const PERMITS: u32 = 500;
    let victim = Victim::start_with(target, "0", &["--deadline", "1s", "--max-in-flight", "500"]).await;
    let mut attacker = Attacker::connect(victim.address(), &[(INITIAL_WINDOW_SIZE, 0)]).await;
    let frames: Vec<_> = (0..PERMITS).flat_map(|index| call(stream(index), target)).collect();
    assert!(attacker.send(&frames).await);
    // Replies are reset; a call that was late itself is answered without a body.
    attacker.ended(PERMITS as usize).await;
    Honest::start(&victim).await.finish().await;
    victim.assert_held("replies that are never read", Warned::Maybe(1));
}

against_each!(
    all_connections_taken,
    headers_without_a_message,
    large_messages_without_an_end,
    replies_that_are_never_read
);
