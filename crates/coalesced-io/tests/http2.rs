//! Real HTTP/2 connections, whose writes are counted.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use coalesced_io::CoalescedIo;
use futures::{FutureExt as _, future::join_all};
use h2::{RecvStream, SendStream, client, server};
use http::{HeaderMap, Request, Response};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex},
    sync::{Semaphore, oneshot},
    task::JoinHandle,
};

/// Counts the writes.
struct Counted<T> {
    inner: T,
    writes: Arc<AtomicUsize>,
}

/// A server of which each reply is sent when there is a permit. It drains when it is told.
struct Server {
    permits: Arc<Semaphore>,
    writes: Arc<AtomicUsize>,
    drain: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), h2::Error>>,
}

// === impl Counted ===

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

// === impl Server ===

impl Server {
    /// Serves calls, each in a task of its own, as hyper does.
    fn start(stream: DuplexStream, reply: usize) -> Self {
        let (permits, writes) = (Arc::new(Semaphore::new(0)), Arc::<AtomicUsize>::default());
        let (drain, draining) = oneshot::channel();
        let mut draining = draining.fuse();
        let (io, mut flusher) = CoalescedIo::new(Counted { inner: stream, writes: Arc::clone(&writes) });
        let wait = Arc::clone(&permits);
        let task = tokio::spawn(async move {
            let mut connection = server::handshake(io).await?;
            poll_fn(|cx| {
                if Pin::new(&mut draining).poll(cx) == Poll::Ready(Ok(())) {
                    connection.graceful_shutdown();
                }
                flusher.poll_turn(cx, |cx| {
                    while let Poll::Ready(accepted) = connection.poll_accept(cx) {
                        let Some(accepted) = accepted else { return Poll::Ready(Ok(())) };
                        let (_, mut respond) = accepted?;
                        let wait = Arc::clone(&wait);
                        tokio::spawn(async move {
                            wait.acquire().await.unwrap().forget();
                            let stream = respond.send_response(Response::new(()), false).unwrap();
                            send(stream, Bytes::from(vec![7; reply])).await;
                        });
                    }
                    Poll::Pending
                })
            })
            .await
        });
        Self { permits, writes, drain: Some(drain), task }
    }

    fn drain(&mut self) {
        self.drain.take().unwrap().send(()).unwrap();
    }
}

/// Sends the body as there is room for it, and trailers.
async fn send(mut stream: SendStream<Bytes>, mut body: Bytes) {
    stream.reserve_capacity(body.len());
    while !body.is_empty() {
        let room = poll_fn(|cx| stream.poll_capacity(cx)).await.unwrap().unwrap();
        stream.send_data(body.split_to(room.min(body.len())), false).unwrap();
    }
    stream.send_trailers(HeaderMap::new()).unwrap();
}

/// Connects, without driving the connection.
async fn connect(stream: DuplexStream) -> (client::SendRequest<Bytes>, client::Connection<DuplexStream, Bytes>) {
    client::Builder::new()
        .initial_window_size(1 << 20)
        .initial_connection_window_size(8 << 20)
        .handshake(stream)
        .await
        .unwrap()
}

fn call(send: &mut client::SendRequest<Bytes>) -> client::ResponseFuture {
    send.send_request(Request::new(()), true).unwrap().0
}

/// Returns how many bytes the reply has.
async fn read(response: client::ResponseFuture) -> usize {
    let mut body: RecvStream = response.await.unwrap().into_body();
    let mut length = 0;
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        length += data.len();
    }
    assert!(body.trailers().await.unwrap().is_some());
    length
}

#[tokio::test]
async fn replies_that_are_ready_together_are_few_writes() {
    let (near, far) = duplex(1 << 20);
    let server = Server::start(far, 500);
    let (mut client, connection) = connect(near).await;
    let connection = tokio::spawn(connection);
    let calls: Vec<_> = (0..64).map(|_| call(&mut client)).collect();
    // Each call has its task, and waits.
    while server.permits.available_permits() == 0 {
        tokio::task::yield_now().await;
        if server.writes.load(Ordering::Relaxed) > 0 && Arc::strong_count(&server.permits) == 64 + 2 {
            break;
        }
    }
    let before = server.writes.load(Ordering::Relaxed);
    server.permits.add_permits(64);
    let lengths = join_all(calls.into_iter().map(read)).await;
    assert_eq!(lengths, [500; 64]);
    // 64 · 550 bytes, of which nothing waits above 32 KiB.
    let writes = server.writes.load(Ordering::Relaxed) - before;
    assert!(writes <= 4, "{writes}");
    connection.abort();
}

#[tokio::test]
async fn a_reply_of_one_caller_is_one_write() {
    let (near, far) = duplex(1 << 20);
    let server = Server::start(far, 5000);
    let (mut client, connection) = connect(near).await;
    let connection = tokio::spawn(connection);
    server.permits.add_permits(11);
    assert_eq!(read(call(&mut client)).await, 5000);
    let before = server.writes.load(Ordering::Relaxed);
    for _ in 0..10 {
        assert_eq!(read(call(&mut client)).await, 5000);
    }
    // Headers, data and trailers together; and some updates of the window.
    let writes = server.writes.load(Ordering::Relaxed) - before;
    assert!((10..=12).contains(&writes), "{writes}");
    connection.abort();
}

#[tokio::test]
async fn goaway_reaches_the_peer_and_calls_end_before_the_connection() {
    let (near, far) = duplex(1 << 20);
    let mut server = Server::start(far, 5000);
    let (mut client, connection) = connect(near).await;
    let connection = tokio::spawn(connection);
    let waiting = call(&mut client);
    while Arc::strong_count(&server.permits) < 3 {
        tokio::task::yield_now().await;
    }
    server.drain();
    // The client hears of it: it accepts no other call.
    while poll_fn(|cx| client.poll_ready(cx)).await.is_ok() {
        tokio::task::yield_now().await;
    }
    server.permits.add_permits(1);
    assert_eq!(read(waiting).await, 5000);
    connection.await.unwrap().unwrap();
    server.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_peer_that_reads_late_gets_everything() {
    // The peer's buffer is much smaller than the reply, and its windows are larger.
    let (near, far) = duplex(1000);
    let server = Server::start(far, 700_000);
    let (mut client, mut connection) = connect(near).await;
    let response = call(&mut client);
    server.permits.add_permits(1);
    // As much as is read before the connection stands still.
    let mut polls = 0;
    poll_fn(|cx| {
        polls += 1;
        assert!(Pin::new(&mut connection).poll(cx).is_pending());
        if server.permits.available_permits() == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let stalled = server.writes.load(Ordering::Relaxed);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.writes.load(Ordering::Relaxed), stalled, "it waits, and does not try");
    tokio::spawn(connection);
    assert_eq!(read(response).await, 700_000);
}

#[tokio::test]
async fn a_peer_that_is_gone_ends_the_connection() {
    let (near, far) = duplex(1 << 20);
    let server = Server::start(far, 5000);
    let (mut client, connection) = connect(near).await;
    let connection = tokio::spawn(connection);
    server.permits.add_permits(1);
    assert_eq!(read(call(&mut client)).await, 5000);
    connection.abort();
    let _ = connection.await;
    drop(client);
    // It ends, with an error or without.
    let _ = server.task.await.unwrap();
}
