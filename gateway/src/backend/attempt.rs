//! Sends a call over a connection, once.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use futures::future::BoxFuture;
use http::{HeaderValue, Uri, header::USER_AGENT, uri::PathAndQuery};
use service_kit::{
    deadline::ClientDeadlineLayer,
    trace::{self, ClientTraceLayer},
};
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};
use tower::ServiceBuilder;

use super::{
    call::{AnyReply, UnaryCall},
    failure::{Cause, Failure},
    roster::Member,
};

/// What the gateway calls itself.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("fanout/", env!("CARGO_PKG_VERSION")));

/// Sends calls to one replica.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    member: Arc<Member>,
    trace: ClientTraceLayer,
    origin: Uri,
}

/// Messages as the bytes they are.
#[derive(Clone, Copy, Debug, Default)]
struct Verbatim;

// === impl Attempt ===

impl Attempt {
    /// Sends to this replica of the backend at `origin`.
    pub(super) fn new(member: Arc<Member>, origin: Uri) -> Self {
        Self { member, trace: ClientTraceLayer::new(&origin), origin }
    }

    /// Waits for a place on a connection, sends the call, and waits for the whole reply.
    ///
    /// Dropping the future resets the call at the replica.
    pub(super) fn send(&self, mut call: UnaryCall) -> BoxFuture<'static, Result<AnyReply, Failure>> {
        let Self { member, trace, origin } = self.clone();
        Box::pin(async move {
            let stream = member.connections.stream().await;
            drop(std::mem::take(&mut call.waiting));
            let Some(stream) = stream else {
                let status = Status::unavailable("its connection was closed before the call was sent");
                return Err(Failure::new(Cause::Unsent, status));
            };
            let service =
                ServiceBuilder::new().layer(trace).layer(ClientDeadlineLayer::new()).service(stream.connection());
            let path = PathAndQuery::from_static(call.method.path());
            let request = request(call, &member);
            match Grpc::with_origin(service, origin).unary(request, path, Verbatim).await {
                Ok(reply) => AnyReply::from_bytes(reply.into_inner()).map_err(|error| {
                    Failure::new(Cause::Malformed, Status::internal(format!("the reply cannot be read: {error}")))
                }),
                Err(status) => Err(Failure::of_attempt(status)),
            }
        })
    }
}

fn request(call: UnaryCall, member: &Member) -> Request<Bytes> {
    let attempt = trace::Attempt { number: call.attempts.add(), peer: Some(member.address), span: call.span };
    let mut request = Request::new(call.message);
    call.handed_on.put_into(request.extensions_mut());
    request.extensions_mut().insert(attempt);
    request.metadata_mut().as_mut().insert(USER_AGENT, AGENT);
    request
}

// === impl Verbatim ===

impl Codec for Verbatim {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

/// Room for a small message to begin with: thousands of calls wait at once, each with a buffer of its own.
fn buffer_settings() -> BufferSettings {
    BufferSettings::new(512, 32 * 1024)
}

impl Encoder for Verbatim {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffer_settings()
    }
}

impl Decoder for Verbatim {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffer_settings()
    }
}
