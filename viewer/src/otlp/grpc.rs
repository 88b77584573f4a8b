//! OTLP over gRPC.
//!
//! A request is one message, and read as its bytes: a generated server would decode each span into a form several times
//! as large. The statuses are tonic's. Its reading of messages is not used: it makes room for a message as soon as its
//! length is known, and decompresses it, before anybody can count that against what all requests may take together; and
//! it decompresses on a thread that may not block.

use std::convert::Infallible;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tonic::{Code, metadata::GRPC_CONTENT_TYPE};

use crate::{
    accept::Answer,
    body::Body,
    otlp::{
        receiver::{Encoding, MAX_REQUEST, Receiver},
        refusal::Refusal,
        signal::Signal,
    },
};

/// The flag and the length before a message.
const PREFIX: usize = 5;

/// Answers requests of OTLP over gRPC.
#[derive(Clone, Debug)]
pub(crate) struct GrpcReceiver(pub(crate) Receiver);

// === impl GrpcReceiver ===

impl Answer for GrpcReceiver {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        match self.receive(request).await {
            Ok(message) => reply(&message),
            Err(refusal) => {
                self.0.refused(&refusal);
                refuse(&refusal)
            }
        }
    }
}

impl GrpcReceiver {
    async fn receive(&self, request: Request<Incoming>) -> Result<Bytes, Refusal> {
        const PATHS: &str = "Export of OTLP's TraceService, MetricsService or LogsService";
        let path = request.uri().path();
        let signal = Signal::of_grpc_path(path).ok_or_else(|| Refusal::Path(path.to_owned(), PATHS))?;
        if request.method() != Method::POST {
            return Err(Refusal::Method(request.method().clone()));
        }
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let content_type = header("content-type");
        if !content_type.starts_with("application/grpc") {
            return Err(Refusal::ContentType(content_type.to_owned(), "application/grpc"));
        }
        let encoding = header("grpc-encoding").to_owned();
        let body = self.0.budget().read(request.into_body(), MAX_REQUEST + PREFIX).await?;
        let compressed = split_prefix(&body.bytes)?;
        let gzip = match (compressed, encoding.as_str()) {
            (false, _) => false,
            (true, "gzip") => true,
            (true, other) => return Err(Refusal::Encoding(other.to_owned())),
        };
        let body = body.map(|bytes| bytes.slice(PREFIX..));
        let partial = self.0.take(signal, Encoding::Protobuf, gzip, body).await?;
        Ok(partial.protobuf())
    }
}

/// Checks that the bytes are one message. Returns whether it is compressed.
fn split_prefix(bytes: &Bytes) -> Result<bool, Refusal> {
    if bytes.len() < PREFIX {
        return Err(Refusal::Framing("it ends within the prefix"));
    }
    let mut prefix = &bytes[..PREFIX];
    let (flag, len) = (prefix.get_u8(), prefix.get_u32() as usize);
    if len != bytes.len() - PREFIX {
        return Err(Refusal::Framing("its length is not that of the prefix"));
    }
    match flag {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Refusal::Framing("the compressed flag is neither 0 nor 1")),
    }
}

fn reply(message: &Bytes) -> Response<Body> {
    let mut bytes = BytesMut::with_capacity(PREFIX + message.len());
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.len()).expect("a response is small"));
    bytes.extend_from_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(Code::Ok as i32));
    let body = Full::new(bytes.freeze()).with_trailers(async { Some(Ok::<_, Infallible>(trailers)) });
    let mut response = Response::new(body.boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
    response
}

fn refuse(refusal: &Refusal) -> Response<Body> {
    let mut response = refusal.status().into_http();
    if matches!(refusal, Refusal::Encoding(_)) {
        response.headers_mut().insert("grpc-accept-encoding", HeaderValue::from_static("identity,gzip"));
    }
    response
}
