//! Conversations of clients and servers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use channel_tests::{
    echo::EchoRequest,
    server::{Behaviour, EchoServer},
};
use futures::stream;
use grpc_channel::Config;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::{client, event, hanging, text};

/// Each request is sent when it is there, and each reply arrives when it is sent: neither side waits for more.
#[tokio::test]
async fn both_sides_take_turns() {
    let server = EchoServer::start(Behaviour::default()).await;
    let mut client = client(&[server.url()], Config::default()).await;
    let (requests, receiver) = mpsc::channel(1);
    requests.send(text("0")).await.unwrap();
    let mut replies = client.chat(ReceiverStream::new(receiver)).await.unwrap().into_inner();
    for turn in 0..100 {
        let reply = event("a reply comes", replies.message()).await.unwrap().unwrap();
        assert_eq!((reply.text, reply.requests), (turn.to_string(), turn + 1));
        requests.send(text(&(turn + 1).to_string())).await.unwrap();
    }
    drop(requests);
    assert_eq!(replies.message().await.unwrap().unwrap().text, "100");
    assert_eq!(replies.message().await.unwrap(), None);
    event("it ends well", server.log().wait_for(|counts| counts.ended == 1)).await;
}

/// A server may end a call before its requests have ended; the client learns of the status and stops sending.
#[tokio::test]
async fn a_server_may_end_early() {
    struct Dropped(Arc<AtomicBool>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }
    let server = EchoServer::start(Behaviour::default()).await;
    let mut client = client(&[server.url()], Config::default()).await;
    let (requests, receiver) = mpsc::channel(4);
    let refused = EchoRequest { code: Code::ResourceExhausted as i32, ..text("enough") };
    requests.send(refused).await.unwrap();
    let mut replies = client.chat(ReceiverStream::new(receiver)).await.unwrap().into_inner();
    let status = event("the status comes", replies.message()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "enough"));
    drop(replies);
    event("its requests are dropped", requests.closed()).await;

    let dropped = Arc::new(AtomicBool::new(false));
    let guard = Dropped(Arc::clone(&dropped));
    let failing = EchoServer::start(Behaviour::failing(usize::MAX, Code::PermissionDenied)).await;
    let endless = stream::unfold(guard, |guard| async move { Some((text("more"), guard)) });
    let mut client = crate::client(&[failing.url()], Config::default()).await;
    let status = event("the status comes", client.collect(endless)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let gone = async {
        while !dropped.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
    };
    event("the endless requests are dropped", gone).await;
}

/// A client whose own stream of requests ends without a message has an empty call.
#[tokio::test]
async fn an_empty_stream_is_a_call() {
    let server = EchoServer::start(Behaviour::default()).await;
    let mut client = client(&[server.url()], Config::default()).await;
    assert_eq!(client.collect(stream::empty()).await.unwrap().into_inner().requests, 0);
    assert_eq!(client.chat(stream::empty()).await.unwrap().into_inner().message().await.unwrap(), None);
    let counts = server.log().counts();
    assert_eq!((counts.begun, counts.messages), (2, 0));
}

/// A graceful shutdown ends when the streams on it do: those that are open go on, new calls go elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_stream_outlives_a_graceful_shutdown() {
    let server = EchoServer::start(Behaviour::default()).await;
    let mut client = client(&[server.url()], Config::default()).await;
    let (requests, receiver) = mpsc::channel(1);
    requests.send(text("before")).await.unwrap();
    let mut replies = client.chat(ReceiverStream::new(receiver)).await.unwrap().into_inner();
    assert_eq!(replies.message().await.unwrap().unwrap().text, "before");
    let log = server.log().clone();
    let shutdown = tokio::spawn(server.shut_down());
    tokio::task::yield_now().await;
    for turn in ["after", "all"] {
        requests.send(text(turn)).await.unwrap();
        assert_eq!(event("a reply comes", replies.message()).await.unwrap().unwrap().text, turn);
    }
    drop(requests);
    assert_eq!(replies.message().await.unwrap(), None);
    event("the server ends", shutdown).await.unwrap();
    assert_eq!(log.counts().ended, 1);
    let status = event("nobody is there", client.create(hanging())).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}
