//! Large messages, and peers that read slowly.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use channel_tests::{
    echo::EchoRequest,
    server::{Behaviour, EchoServer},
};
use futures::{StreamExt as _, stream};
use grpc_channel::Config;
use tokio::sync::Semaphore;
use tonic::Code;

use crate::{client, event, text};

const MIB: u32 = 1 << 20;

#[tokio::test]
async fn a_reply_may_have_four_mebibytes() {
    let server = EchoServer::start(Behaviour::default()).await;
    let mut client = client(&[server.url()], Config::default()).await;
    // tonic's own limit is 4 MiB too, for the whole message.
    let large = EchoRequest { padding: 4 * MIB - 100, replies: 3, ..text("large") };
    assert_eq!(client.get(large.clone()).await.unwrap().into_inner().padding.len(), 4 * MIB as usize - 100);
    let mut replies = client.list(large.clone()).await.unwrap().into_inner();
    for _ in 0..3 {
        assert_eq!(replies.message().await.unwrap().unwrap().padding.len(), 4 * MIB as usize - 100);
    }
    let request = EchoRequest { payload: vec![1; 4 * MIB as usize - 100], ..text("large") };
    assert_eq!(client.collect(stream::iter([request])).await.unwrap().into_inner().payload_bytes, 4_194_204);

    let status = client.get(EchoRequest { padding: 4 * MIB + 100, ..large }).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
}

/// A request of 8 MiB to a server that reads nothing: what it has no room for stays with the caller, and other calls on
/// the same connection go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_slows_its_writer_down() {
    const CHUNK: usize = 64 * 1024;
    const CHUNKS: usize = 128;
    let reads = Arc::new(Semaphore::new(0));
    let behaviour = Behaviour { reads: Some(Arc::clone(&reads)), ..Behaviour::default() };
    let server = EchoServer::start(behaviour).await;
    let config = Config { max_connections: 1, ..Config::default() };
    let client = client(&[server.url()], config).await;
    let taken = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&taken);
    let requests = stream::iter(0..CHUNKS).map(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        EchoRequest { payload: vec![1; CHUNK], ..EchoRequest::default() }
    });
    let mut writer = client.clone();
    let writing = tokio::spawn(async move { writer.collect(requests).await });
    event("the call begins", server.log().wait_for(|counts| counts.begun == 1)).await;

    for _ in 0..200 {
        event("another call ends", client.clone().get(text("a"))).await.unwrap();
    }
    // The server's window of 256 KiB, what tonic encodes ahead, and the chunk that waits.
    let chunks = taken.load(Ordering::Relaxed);
    assert!(chunks <= 8, "{chunks} chunks of 64 KiB were taken from the caller");

    reads.add_permits(CHUNKS + 1);
    let reply = event("all is read", writing).await.unwrap().unwrap().into_inner();
    assert_eq!((reply.requests as usize, reply.payload_bytes), (CHUNKS, (CHUNKS * CHUNK) as u64));
}

/// A caller that does not read its stream does not hold up others on the same connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_not_read_holds_nobody_up() {
    let server = EchoServer::start(Behaviour::default()).await;
    let config = Config { max_connections: 1, ..Config::default() };
    let mut client = client(&[server.url()], config).await;
    let endless = EchoRequest { replies: 100, padding: 64 * 1024, ..text("a") };
    let mut unread = client.list(endless).await.unwrap().into_inner();
    for _ in 0..200 {
        event("another call ends", client.get(EchoRequest { padding: 1024, ..text("b") })).await.unwrap();
    }
    let mut count = 0;
    while unread.message().await.unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 100);
}
