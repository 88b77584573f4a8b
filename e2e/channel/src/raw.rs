//! A gRPC server over h2 itself, without health checks.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::{Reason, RecvStream, server::SendResponse};
use http::{HeaderMap, Request, Response};
use prost::Message as _;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::echo::EchoReply;

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// It is refused: the server promises that it did not process it.
    Refuse,
    /// Its stream is reset with this reason at once.
    Reset(Reason),
    /// Its stream is reset with this reason after a message of its request has arrived.
    ReadAndReset(Reason),
    /// The reply is a status, in the headers, with this value of `grpc-retry-pushback-ms`, before the request is read.
    Status(&'static str, Option<&'static str>),
    /// The reply is a message with this text.
    Reply(&'static str),
    /// The reply is a message with this text; then the stream is reset with this reason instead of trailers.
    ReplyAndReset(&'static str, Reason),
    /// The reply is these bytes and a status of success.
    Bytes(&'static [u8]),
}

/// A server that treats each call by its number, from 0.
#[derive(Debug)]
pub struct RawServer {
    url: String,
    calls: Arc<AtomicUsize>,
    running: JoinHandle<()>,
}

// === impl RawServer ===

impl RawServer {
    /// Starts a server on a free port of the loopback interface.
    ///
    /// # Panics
    ///
    /// Panics if no port can be bound.
    pub async fn start(act_of: impl Fn(usize) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let (calls, act_of) = (Arc::<AtomicUsize>::default(), Arc::new(act_of));
        let counted = Arc::clone(&calls);
        let running = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (counted, act_of) = (Arc::clone(&counted), Arc::clone(&act_of));
                tokio::spawn(async move {
                    let Ok(mut connection) = h2::server::Builder::new().handshake::<_, Bytes>(stream).await else {
                        return;
                    };
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        let act = if request.uri().path().starts_with("/grpc.health") {
                            Act::Status("12", None)
                        } else {
                            act_of(counted.fetch_add(1, Ordering::Relaxed))
                        };
                        tokio::spawn(act.run(request, respond));
                    }
                });
            }
        });
        Self { url, calls, running }
    }

    /// Returns the server's URL.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Returns how many calls reached it.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Drop for RawServer {
    fn drop(&mut self) {
        self.running.abort();
    }
}

// === impl Act ===

impl Act {
    async fn run(self, mut request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        match self {
            Self::Refuse => respond.send_reset(Reason::REFUSED_STREAM),
            Self::Reset(reason) => respond.send_reset(reason),
            Self::ReadAndReset(reason) => {
                let _ = request.body_mut().data().await;
                respond.send_reset(reason);
            }
            Self::Status(code, pushback) => {
                let mut head = head();
                head.headers_mut().insert("grpc-status", code.parse().expect("digits"));
                if let Some(pushback) = pushback {
                    head.headers_mut().insert("grpc-retry-pushback-ms", pushback.parse().expect("it is ASCII"));
                }
                let _ = respond.send_response(head, true);
            }
            Self::Reply(text) => send(&mut respond, message(text), None),
            Self::ReplyAndReset(text, reason) => send(&mut respond, message(text), Some(reason)),
            Self::Bytes(bytes) => send(&mut respond, Bytes::from_static(bytes), None),
        }
    }
}

fn head() -> Response<()> {
    let mut head = Response::new(());
    head.headers_mut().insert("content-type", "application/grpc".parse().expect("it is ASCII"));
    head
}

fn message(text: &str) -> Bytes {
    let message = EchoReply { text: text.to_owned(), ..EchoReply::default() }.encode_to_vec();
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("the texts are short"));
    frame.put(&*message);
    frame.freeze()
}

/// Replies; ignores that the caller may have gone.
fn send(respond: &mut SendResponse<Bytes>, data: Bytes, reset: Option<Reason>) {
    let Ok(mut body) = respond.send_response(head(), false) else { return };
    let _ = body.send_data(data, false);
    if let Some(reason) = reset {
        body.send_reset(reason);
        return;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().expect("a digit"));
    let _ = body.send_trailers(trailers);
}
