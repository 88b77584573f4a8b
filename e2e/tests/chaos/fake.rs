//! A backend that answers as a test wants, where no real one would.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::{RecvStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
};

/// A gRPC server over h2 itself, without health: it counts its connections and calls.
pub(crate) struct Fake {
    pub(crate) url: String,
    connections: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
}

/// What a call gets, and when.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) after: Duration,
    pub(crate) message: Bytes,
    /// UNAVAILABLE instead of the message, with this for `grpc-retry-pushback-ms`.
    pub(crate) unavailable: Option<&'static str>,
}

impl Answer {
    pub(crate) fn new(after: Duration, message: Bytes) -> Self {
        Self { after, message, unavailable: None }
    }
}

// === impl Fake ===

impl Fake {
    /// Answers each call by its number, from 0.
    pub(crate) async fn start(answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_taking(u32::MAX, answer).await
    }

    /// Takes so many calls at once on each connection.
    pub(crate) async fn start_taking(streams: u32, answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (connections, calls) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (opened, counted, answer) = (Arc::clone(&connections), Arc::clone(&calls), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                opened.fetch_add(1, Ordering::Relaxed);
                let (counted, answer) = (Arc::clone(&counted), Arc::clone(&answer));
                tokio::spawn(async move {
                    let mut settings = h2::server::Builder::new();
                    settings.max_concurrent_streams(streams);
                    let Ok(mut connection) = settings.handshake::<_, Bytes>(stream).await else { return };
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        if request.uri().path().starts_with("/grpc.health") {
                            status(respond, "12", None);
                            continue;
                        }
                        let answer = answer(counted.fetch_add(1, Ordering::Relaxed));
                        tokio::spawn(reply(request, respond, answer));
                    }
                });
            }
        });
        Self { url, connections, calls }
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

fn head() -> Response<()> {
    Response::builder().header("content-type", "application/grpc").body(()).unwrap()
}

/// Answers with a status alone.
fn status(mut respond: SendResponse<Bytes>, code: &'static str, pushback: Option<&'static str>) {
    let mut head = head();
    head.headers_mut().insert("grpc-status", HeaderValue::from_static(code));
    if let Some(pushback) = pushback {
        head.headers_mut().insert("grpc-retry-pushback-ms", HeaderValue::from_static(pushback));
    }
    let _ = respond.send_response(head, true);
}

/// A caller that has gone meanwhile needs no answer.
async fn reply(_request: Request<RecvStream>, mut respond: SendResponse<Bytes>, answer: Answer) {
    tokio::time::sleep(answer.after).await;
    if answer.unavailable.is_some() {
        return status(respond, "14", answer.unavailable);
    }
    let Ok(mut body) = respond.send_response(head(), false) else { return };
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(answer.message.len()).unwrap());
    frame.put(answer.message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let _ = body.send_data(frame.freeze(), false).and_then(|()| body.send_trailers(trailers));
}

/// A server that speaks no HTTP/2: it greets every connection with something else.
pub(crate) async fn no_http2() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"220 mail.example ESMTP ready\r\n\r\n").await;
        }
    });
    url
}

/// A way to a server that breaks each connection, with a reset, once so many bytes of replies went over it.
pub(crate) async fn breaking(to: &str, after: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let to = to.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            // Nobody is there any more when the test ends.
            let Ok(far) = TcpStream::connect(&to).await else { continue };
            tokio::spawn(forward(near, far, after));
        }
    });
    url
}

async fn forward(near: TcpStream, far: TcpStream, after: usize) {
    // Closing such a socket sends a reset, not a goodbye.
    near.set_zero_linger().unwrap();
    let ((mut from_near, mut to_near), (mut from_far, mut to_far)) = (near.into_split(), far.into_split());
    let there = tokio::spawn(async move { tokio::io::copy(&mut from_near, &mut to_far).await });
    let mut replies = tokio::io::AsyncReadExt::take(&mut from_far, after as u64);
    let _ = tokio::io::copy(&mut replies, &mut to_near).await;
    there.abort();
    let _ = there.await;
}
