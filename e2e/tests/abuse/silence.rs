//! Attackers that send little, and keep what they take.

use std::time::Instant;

use e2e::wait::within;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    attacker::Attacker,
    frames::{INITIAL_WINDOW_SIZE, LIST_COUNTRIES, PREFACE, empty_message, headers, stream},
    honest::Honest,
    victim::Victim,
};

/// Opens connections that send these bytes and then nothing.
async fn open(address: &str, connections: usize, bytes: &[u8]) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for _ in 0..connections {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(bytes).await.unwrap();
        open.push(connection);
    }
    open
}

/// Waits until the server has closed all of them.
async fn all_closed(connections: Vec<TcpStream>) {
    for mut connection in connections {
        // The end of the stream, or a reset if the server has not read all.
        let closed = within("a silent connection is closed", connection.read(&mut [0; 64])).await;
        assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_preface() {
    let victim = Victim::start("0").await;
    let honest = Honest::start(victim.url()).await;
    all_closed(open(victim.address(), 400, &PREFACE[..12]).await).await;
    honest.finish().await;
    victim.assert_held("half a preface", false);
}

/// More connections than the process has file descriptors for. They wait until others are closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_file_descriptors() {
    let victim = Victim::start_with_files(96).await;
    let (begun, before) = (Instant::now(), victim.processor_seconds());
    let silent = open(victim.address(), 150, &[]).await;
    // It waits in the queue of the operating system behind all of them.
    Honest::start(victim.url()).await.finish().await;
    all_closed(silent).await;
    let share = (victim.processor_seconds() - before) / begun.elapsed().as_secs_f64();
    assert!(share < 0.5, "the service used {share} of a core");
    victim.assert_held("no file descriptors", true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_without_a_message() {
    let victim = Victim::start("20ms").await;
    let honest = Honest::start(victim.url()).await;
    let mut attacker = Attacker::connect(victim.address(), &[]).await;
    let calls = 0..20_000;
    let frames: Vec<_> = calls.flat_map(|call| headers(stream(call), LIST_COUNTRIES)).collect();
    attacker.send(&frames).await;
    // The first 1,024 are in flight, as many others are refused.
    attacker.closed().await;
    honest.finish().await;
    victim.assert_held("headers without a message", true);
}

/// More calls than there are permits: they take none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_whose_message_is_late() {
    const CALLS: u32 = 1_000;
    let victim = Victim::start_with("20ms", &["--max-in-flight", "100", "--body-timeout", "2s"]).await;
    let mut attacker = Attacker::connect(victim.address(), &[]).await;
    let frames: Vec<_> = (0..CALLS).flat_map(|call| headers(stream(call), LIST_COUNTRIES)).collect();
    assert!(attacker.send(&frames).await);
    Honest::start(victim.url()).await.finish().await;
    attacker.reset(CALLS as usize).await;
    victim.assert_held("headers whose message is late", false);
}

/// An attacker whose window is empty has every permit until its calls' deadline, but not those of the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_that_are_never_read() {
    const PERMITS: u32 = 500;
    let victim = Victim::start_with("0", &["--deadline", "3s", "--max-in-flight", "500"]).await;
    let mut attacker = Attacker::connect(victim.address(), &[(INITIAL_WINDOW_SIZE, 0)]).await;
    let call = |call| [headers(stream(call), LIST_COUNTRIES), empty_message(stream(call))].concat();
    let frames: Vec<_> = (0..2 * PERMITS).flat_map(call).collect();
    assert!(attacker.send(&frames).await);
    attacker.answered((2 * PERMITS) as usize).await;
    Honest::start(victim.url()).await.finish().await;
    attacker.reset(PERMITS as usize).await;
    victim.assert_held("replies that are never read", true);
}
