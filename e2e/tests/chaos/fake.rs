//! Servers that misbehave as a test needs.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use e2e::wait::within;
use futures::FutureExt as _;
use h2::{RecvStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A gRPC server over h2 itself, without health checks. It counts its connections and calls.
pub(crate) struct FakeBackend {
    pub(crate) url: String,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    calls: AtomicUsize,
    in_flight: AtomicUsize,
    /// The largest number in flight so far.
    most_in_flight: watch::Sender<usize>,
    /// The delays of the replies whose callers waited for them.
    awaited: Mutex<Vec<Duration>>,
}

/// The reply to a call.
#[derive(Clone, Debug)]
pub(crate) struct FakeReply {
    /// The delay of the reply.
    pub(crate) after: Duration,
    pub(crate) message: Bytes,
    /// If set, the reply also waits until the sender of this channel is dropped.
    pub(crate) held: Option<watch::Receiver<()>>,
    /// If set, the reply is UNAVAILABLE, with this value of `grpc-retry-pushback-ms`.
    pub(crate) unavailable: Option<&'static str>,
}

impl FakeReply {
    pub(crate) fn new(after: Duration, message: Bytes) -> Self {
        Self { after, message, held: None, unavailable: None }
    }
}

// === impl FakeBackend ===

impl FakeBackend {
    /// Starts a server that replies to each call by its number, from 0.
    pub(crate) async fn start(reply_to: impl Fn(usize) -> FakeReply + Send + Sync + 'static) -> Self {
        Self::start_with_streams(u32::MAX, reply_to).await
    }

    /// Starts a server that accepts this many concurrent calls on each connection.
    pub(crate) async fn start_with_streams(
        streams: u32,
        reply_to: impl Fn(usize) -> FakeReply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let counts = Arc::<Counts>::default();
        let (counted, reply_to) = (Arc::clone(&counts), Arc::new(reply_to));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                counted.connections.fetch_add(1, Ordering::Relaxed);
                let (counted, reply_to) = (Arc::clone(&counted), Arc::clone(&reply_to));
                tokio::spawn(async move {
                    let mut settings = h2::server::Builder::new();
                    settings.max_concurrent_streams(streams);
                    let Ok(mut connection) = settings.handshake::<_, Bytes>(stream).await else { return };
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        if request.uri().path().starts_with("/grpc.health") {
                            status(respond, "12", None);
                            continue;
                        }
                        let reply = reply_to(counted.begin());
                        tokio::spawn(send(request, respond, reply, Arc::clone(&counted)));
                    }
                });
            }
        });
        Self { url, counts }
    }

    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn calls(&self) -> usize {
        self.counts.calls.load(Ordering::Relaxed)
    }

    /// Waits until this many calls have been in flight at once.
    pub(crate) async fn wait_for_in_flight(&self, calls: usize) {
        let mut most = self.counts.most_in_flight.subscribe();
        within(&format!("{calls} calls in flight"), most.wait_for(|most| *most >= calls)).await.unwrap();
    }

    pub(crate) fn most_in_flight(&self) -> usize {
        *self.counts.most_in_flight.borrow()
    }

    /// Returns how many replies had this delay, and callers that waited for them: a call that is reset has none.
    pub(crate) fn awaited(&self, after: Duration) -> usize {
        self.counts.awaited.lock().unwrap().iter().filter(|delay| **delay == after).count()
    }
}

// === impl Counts ===

impl Counts {
    /// Counts a call, and returns its number.
    fn begin(&self) -> usize {
        let in_flight = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_in_flight.send_if_modified(|most| {
            let is_more = in_flight > *most;
            *most = in_flight.max(*most);
            is_more
        });
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

fn head() -> Response<()> {
    Response::builder().header("content-type", "application/grpc").body(()).unwrap()
}

/// Replies with a status and no message.
fn status(mut respond: SendResponse<Bytes>, code: &'static str, pushback: Option<&'static str>) {
    let mut head = head();
    head.headers_mut().insert("grpc-status", HeaderValue::from_static(code));
    if let Some(pushback) = pushback {
        head.headers_mut().insert("grpc-retry-pushback-ms", HeaderValue::from_static(pushback));
    }
    let _ = respond.send_response(head, true);
}

/// Replies; ignores that the caller may have gone.
async fn send(
    _request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    mut reply: FakeReply,
    counts: Arc<Counts>,
) {
    tokio::time::sleep(reply.after).await;
    if let Some(held) = &mut reply.held {
        // An error: the sender never sends, it is dropped.
        let _ = held.changed().await;
    }
    counts.end();
    if poll_fn(|cx| respond.poll_reset(cx)).now_or_never().is_none() {
        counts.awaited.lock().unwrap().push(reply.after);
    }
    if reply.unavailable.is_some() {
        return status(respond, "14", reply.unavailable);
    }
    let Ok(mut body) = respond.send_response(head(), false) else { return };
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(reply.message.len()).unwrap());
    frame.put(reply.message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let _ = body.send_data(frame.freeze(), false).and_then(|()| body.send_trailers(trailers));
}

/// Starts a server that does not speak HTTP/2.
pub(crate) async fn not_http2() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"220 mail.example ESMTP ready\r\n\r\n").await;
        }
    });
    url
}

/// Starts a proxy that resets each connection after it has forwarded this many bytes of replies.
pub(crate) async fn resetting_proxy(to: &str, after: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let to = to.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            // The server may already be stopped when the test ends.
            let Ok(far) = TcpStream::connect(&to).await else { continue };
            tokio::spawn(forward(near, far, after));
        }
    });
    url
}

async fn forward(near: TcpStream, far: TcpStream, after: usize) {
    // Closing a socket with this option sends RST in place of FIN.
    near.set_zero_linger().unwrap();
    let ((mut from_near, mut to_near), (mut from_far, mut to_far)) = (near.into_split(), far.into_split());
    let there = tokio::spawn(async move { tokio::io::copy(&mut from_near, &mut to_far).await });
    let mut replies = tokio::io::AsyncReadExt::take(&mut from_far, after as u64);
    let _ = tokio::io::copy(&mut replies, &mut to_near).await;
    there.abort();
    let _ = there.await;
}
