//! Sends a call over a connection, once.

use std::{
    fmt,
    future::{poll_fn, ready},
    pin::pin,
    sync::Arc,
};

use bytes::Bytes;
use futures::{FutureExt as _, future::Either};
use http::{Request, Response, Uri};
use http_body::Body;
use opentelemetry::metrics::Meter;
use rpc_layers::{
    deadline::ClientDeadlineLayer,
    trace::{AttemptInfo, ClientTraceLayer},
};
use tonic::{Code, Status};
use tower::{Service as _, ServiceBuilder};

use crate::{
    call::{AnyReply, UnaryCall},
    config::ReplyCheck,
    endpoints::endpoint::Endpoint,
    error::{Cause, Failure},
    transport::framing::{HEADERS, message, no_status, uri},
    transport::pool::{Acquire, StreamPermit},
};

/// Sends calls to one replica.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    endpoint: Arc<Endpoint>,
    trace: ClientTraceLayer,
    origin: Uri,
    reply_check: ReplyCheck,
}

// === impl Attempt ===

impl Attempt {
    /// Sends to this replica of the backend at `origin`.
    pub(crate) fn new(endpoint: Arc<Endpoint>, origin: Uri, reply_check: ReplyCheck, meter: Option<&Meter>) -> Self {
        Self { endpoint, trace: ClientTraceLayer::new(&origin, meter), origin, reply_check }
    }

    /// Waits for a place on a connection, sends the call, and waits for the whole reply.
    ///
    /// Dropping the future resets the call at the replica.
    ///
    /// Thousands of these wait at once: combinators keep each no larger than its largest step, where an async block
    /// would make room for all of them.
    pub(crate) fn send(&self, call: UnaryCall) -> impl Future<Output = Result<AnyReply, Failure>> + Send + use<> {
        match self.endpoint.pool.try_acquire() {
            Acquire::Room(stream) => Either::Left(self.send_on(stream, call)),
            Acquire::None => Either::Right(ready(Err(unsent())).boxed()),
            Acquire::Full => {
                let attempt = self.clone();
                let waited = async move {
                    let stream = attempt.endpoint.pool.stream().await;
                    attempt.send_on(stream.ok_or_else(unsent)?, call).await
                };
                Either::Right(waited.boxed())
            }
        }
    }

    fn send_on(
        &self,
        stream: StreamPermit,
        mut call: UnaryCall,
    ) -> impl Future<Output = Result<AnyReply, Failure>> + Send + use<> {
        drop(std::mem::take(&mut call.waiting));
        let mut service = ServiceBuilder::new()
            .layer(self.trace.clone())
            .layer(ClientDeadlineLayer::new())
            .service(stream.connection());
        let reply_check = self.reply_check;
        service.call(request(call, &self.endpoint, &self.origin)).map(move |result| {
            // The place on the connection is free now.
            drop(stream);
            match result {
                Ok(response) => read(response, reply_check).now_or_never().expect("the whole reply is there"),
                Err(error) => Err(Failure::of_attempt(Status::from_error(error))),
            }
        })
    }
}

fn unsent() -> Failure {
    Failure::new(Cause::Unsent, Status::unavailable("its connection was closed before the call was sent"))
}

fn request(call: UnaryCall, endpoint: &Endpoint, origin: &Uri) -> Request<Bytes> {
    let attempt = AttemptInfo { number: call.inner.attempts.add(), peer: Some(endpoint.address), span: call.span };
    let mut request = Request::new(call.inner.message.clone());
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = uri(origin, call.inner.method.path());
    request.headers_mut().extend(HEADERS);
    call.inner.ctx.insert_into(request.extensions_mut());
    request.extensions_mut().insert(attempt);
    request
}

/// Takes the message and the status out of a reply.
async fn read<B>(response: Response<B>, check: ReplyCheck) -> Result<AnyReply, Failure>
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
    check(&message).map_err(|error| malformed(&error))?;
    Ok(message)
}

fn malformed(why: &dyn fmt::Display) -> Failure {
    Failure::new(Cause::Malformed, Status::internal(format!("the reply cannot be read: {why}")))
}
