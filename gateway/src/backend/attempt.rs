//! Sends a call over a connection, once.

use std::{
    fmt,
    future::{poll_fn, ready},
    pin::pin,
    sync::Arc,
};

use bytes::Bytes;
use futures::{FutureExt as _, future::Either};
use http::{
    HeaderName, HeaderValue, Request, Response, Uri,
    header::{CONTENT_TYPE, TE, USER_AGENT},
    uri::PathAndQuery,
};
use http_body::Body;
use rpc_layers::{
    deadline::ClientDeadlineLayer,
    trace::{self, ClientTraceLayer},
};
use tonic::{Code, Status};
use tower::{Service as _, ServiceBuilder};

use super::{
    call::{AnyReply, UnaryCall},
    connections::{Found, Stream},
    exchange::{message, no_status},
    failure::{Cause, Failure},
    member::Member,
};

/// Headers of every call.
pub(super) const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (TE, HeaderValue::from_static("trailers")),
    (CONTENT_TYPE, HeaderValue::from_static("application/grpc")),
    (USER_AGENT, HeaderValue::from_static(concat!("fanout/", env!("CARGO_PKG_VERSION")))),
];

/// Sends calls to one replica.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    member: Arc<Member>,
    trace: ClientTraceLayer,
    origin: Uri,
}

// === impl Attempt ===

impl Attempt {
    /// Sends to this replica of the backend at `origin`.
    pub(super) fn new(member: Arc<Member>, origin: Uri) -> Self {
        Self { member, trace: ClientTraceLayer::new(&origin, service_kit::telemetry::meter().as_ref()), origin }
    }

    /// Waits for a place on a connection, sends the call, and waits for the whole reply.
    ///
    /// Dropping the future resets the call at the replica.
    ///
    /// Thousands of these wait at once: combinators keep each no larger than its largest step, where an async block
    /// would make room for all of them.
    pub(super) fn send(&self, call: UnaryCall) -> impl Future<Output = Result<AnyReply, Failure>> + Send + use<> {
        match self.member.connections.try_stream() {
            Found::Room(stream) => Either::Left(self.send_on(stream, call)),
            Found::None => Either::Right(ready(Err(unsent())).boxed()),
            Found::Full => {
                let attempt = self.clone();
                let waited = async move {
                    let stream = attempt.member.connections.stream().await;
                    attempt.send_on(stream.ok_or_else(unsent)?, call).await
                };
                Either::Right(waited.boxed())
            }
        }
    }

    fn send_on(
        &self,
        stream: Stream,
        mut call: UnaryCall,
    ) -> impl Future<Output = Result<AnyReply, Failure>> + Send + use<> {
        drop(std::mem::take(&mut call.waiting));
        let mut service = ServiceBuilder::new()
            .layer(self.trace.clone())
            .layer(ClientDeadlineLayer::new())
            .service(stream.connection());
        service.call(request(call, &self.member, &self.origin)).map(move |result| {
            // The place on the connection is free now.
            drop(stream);
            match result {
                Ok(response) => read(response).now_or_never().expect("the whole reply is there"),
                Err(error) => Err(Failure::of_attempt(Status::from_error(error))),
            }
        })
    }
}

fn unsent() -> Failure {
    Failure::new(Cause::Unsent, Status::unavailable("its connection was closed before the call was sent"))
}

fn request(call: UnaryCall, member: &Member, origin: &Uri) -> Request<Bytes> {
    let attempt = trace::AttemptInfo { number: call.asked.attempts.add(), peer: Some(member.address), span: call.span };
    let mut request = Request::new(call.asked.message.clone());
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = uri(origin, call.asked.method.path());
    request.headers_mut().extend(HEADERS);
    call.asked.handed_on.insert_into(request.extensions_mut());
    request.extensions_mut().insert(attempt);
    request
}

/// The address of a method, as `method_path` below `origin`.
pub(super) fn uri(origin: &Uri, method_path: &'static str) -> Uri {
    let mut parts = origin.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::from_static(method_path));
    Uri::from_parts(parts).expect("an origin has a scheme and an authority")
}

/// Takes the message and the status out of a reply.
async fn read<B>(response: Response<B>) -> Result<AnyReply, Failure>
where
    B: Body<Data = Bytes, Error = Status>,
{
    let (head, body) = response.into_parts();
    let mut body = pin!(body);
    let (mut data, mut trailers) = (Bytes::new(), None);
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        match frame.map_err(Failure::of_attempt)?.into_data() {
            Ok(part) => data = part,
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    let status = trailers.as_ref().or(Some(&head.headers)).and_then(Status::from_header_map).unwrap_or_else(no_status);
    if status.code() != Code::Ok {
        return Err(Failure::of_attempt(status));
    }
    let message = message(data).map_err(|why| malformed(&why))?;
    AnyReply::from_bytes(message).map_err(|error| malformed(&error))
}

fn malformed(why: &dyn fmt::Display) -> Failure {
    Failure::new(Cause::Malformed, Status::internal(format!("the reply cannot be read: {why}")))
}
