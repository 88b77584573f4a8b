//! Sends a call over a connection, once.

use std::{
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::{
    FutureExt as _,
    future::{BoxFuture, Either},
};
use http::{HeaderMap, Request, Uri, response::Parts};
use http_body::Body;
use opentelemetry::metrics::Meter;
use pin_project_lite::pin_project;
use rpc_layers::{
    deadline::ClientDeadlineLayer,
    trace::{AttemptInfo, ClientTraceLayer},
};
use tonic::{Code, Status};
use tower::{Service as _, ServiceBuilder};

use crate::{
    call::{Call, Wanted},
    config::ReplyCheck,
    endpoints::endpoint::Endpoint,
    error::{Cause, Failure},
    reply::{Reply, ReplyMetadata, StreamBody, WholeReply},
    request_body::RequestBody,
    transport::{
        framing::{check_frame, is_trailers_only, message, no_status},
        pool::{Acquire, StreamPermit},
        request::request,
        response::{StreamedReplies, WholeReplies},
    },
};

/// Sends calls to one endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    endpoint: Arc<Endpoint>,
    trace: ClientTraceLayer,
    origin: Uri,
    reply_check: ReplyCheck,
}

pin_project! {
    /// A call that is sent once there is a stream for it. What it waits for has no part in the size of a call that is sent,
    /// and is dropped then.
    #[project = SendingProj]
    enum Sending<F> {
        Waiting { granted: BoxFuture<'static, Option<F>> },
        Sent { #[pin] reply: F },
        Closed,
    }
}

// === impl Sending ===

impl<F: Future<Output = Result<Reply, Failure>>> Future for Sending<F> {
    type Output = Result<Reply, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let granted = match self.as_mut().project() {
                SendingProj::Sent { reply } => return reply.poll(cx),
                SendingProj::Waiting { granted } => ready!(granted.as_mut().poll(cx)),
                SendingProj::Closed => return Poll::Ready(Err(unsent())),
            };
            self.set(granted.map_or(Sending::Closed, |reply| Sending::Sent { reply }));
        }
    }
}

// === impl Attempt ===

impl Attempt {
    /// Sends to this endpoint of the backend at `origin`.
    pub(crate) fn new(endpoint: Arc<Endpoint>, origin: Uri, reply_check: ReplyCheck, meter: Option<&Meter>) -> Self {
        let trace = ClientTraceLayer::new(&origin, meter).peer(endpoint.address);
        Self { endpoint, trace, origin, reply_check }
    }

    /// Waits for a stream on a connection, sends the call, and waits for the whole reply, or for the headers of one that
    /// streams.
    ///
    /// Dropping the future resets the call at the endpoint.
    ///
    /// Thousands of these wait at once: combinators keep each no larger than its largest step, while an async block
    /// would have room for all of them.
    pub(crate) fn send(&self, call: Call) -> impl Future<Output = Result<Reply, Failure>> + Send + use<> {
        match self.endpoint.pool.try_acquire() {
            Acquire::Permit(permit) => Sending::Sent { reply: self.send_on(permit, call) },
            Acquire::Closed => Sending::Closed,
            Acquire::Full => {
                let attempt = self.clone();
                let granted = async move {
                    let permit = attempt.endpoint.pool.acquire().await;
                    permit.map(|permit| attempt.send_on(permit, call))
                };
                Sending::Waiting { granted: granted.boxed() }
            }
        }
    }

    fn send_on(
        &self,
        permit: StreamPermit,
        mut call: Call,
    ) -> impl Future<Output = Result<Reply, Failure>> + Send + use<> {
        drop(std::mem::take(&mut call.queued));
        let wanted = call.inner.wanted;
        if wanted == Wanted::Stream {
            return Either::Right(self.stream_on(permit, call).boxed());
        }
        let mut service = ServiceBuilder::new()
            .layer(self.trace.clone())
            .layer(ClientDeadlineLayer::new())
            .service(WholeReplies { connection: permit.connection(), keeps_headers: wanted == Wanted::Whole });
        let reply_check = self.reply_check;
        Either::Left(service.call(self.request(call)).map(move |result| {
            // The stream is free now.
            drop(permit);
            match result {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    let (data, trailers) = read(body).now_or_never().expect("the whole reply is there")?;
                    whole_reply(head, trailers, data, wanted, reply_check).map(Reply::Whole)
                }
                Err(error) => Err(Failure::of_attempt(Status::from_error(error))),
            }
        }))
    }

    fn stream_on(
        &self,
        permit: StreamPermit,
        call: Call,
    ) -> impl Future<Output = Result<Reply, Failure>> + Send + use<> {
        let mut service = ServiceBuilder::new()
            .layer(self.trace.clone())
            .layer(ClientDeadlineLayer::new())
            .service(StreamedReplies(permit.connection()));
        let response = service.call(self.request(call));
        async move {
            let response = response.await.map_err(|error| Failure::of_attempt(Status::from_error(error)))?;
            if is_trailers_only(response.headers()) {
                status(response.headers(), None)?;
            }
            let mut response = response.map(StreamBody::new);
            response.body_mut().observe(permit);
            Ok(Reply::Stream(Box::new(response)))
        }
    }

    fn request(&self, call: Call) -> Request<RequestBody> {
        let Call { inner, span, .. } = call;
        let attempt = AttemptInfo { number: inner.attempts.add(), span };
        let metadata = inner.metadata.as_deref().cloned().unwrap_or_default();
        let mut request = request(&self.origin, inner.method.path_and_query(), metadata, inner.request.clone());
        inner.ctx.insert_attempt_into(attempt, request.extensions_mut());
        request
    }
}

fn unsent() -> Failure {
    Failure::new(Cause::Unsent, Status::unavailable("its connection was closed before the call was sent"))
}

/// Reads the data and the trailers of a whole reply.
async fn read(body: impl Body<Data = Bytes, Error = Status>) -> Result<(Bytes, Option<HeaderMap>), Failure> {
    let mut body = pin!(body);
    let (mut data, mut trailers) = (Bytes::new(), None);
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        match frame.map_err(Failure::of_attempt)?.into_data() {
            Ok(part) => data = part,
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((data, trailers))
}

/// Checks that a reply succeeded.
fn status(headers: &HeaderMap, trailers: Option<&HeaderMap>) -> Result<(), Failure> {
    // Nearly all do. A `Status` has copies of all headers.
    if trailers.unwrap_or(headers).get(Status::GRPC_STATUS).is_some_and(|code| code == "0") {
        return Ok(());
    }
    let status = trailers.or(Some(headers)).and_then(Status::from_header_map).unwrap_or_else(no_status);
    if status.code() == Code::Ok { Ok(()) } else { Err(Failure::of_attempt(status)) }
}

/// Takes what the caller wants out of a whole reply.
fn whole_reply(
    head: Parts,
    trailers: Option<HeaderMap>,
    data: Bytes,
    wanted: Wanted,
    check: ReplyCheck,
) -> Result<WholeReply, Failure> {
    status(&head.headers, trailers.as_ref())?;
    if wanted == Wanted::Message {
        let message = message(data).map_err(|why| malformed(&why))?;
        check(&message).map_err(|error| malformed(&error))?;
        return Ok(WholeReply { data: message, metadata: None });
    }
    check_frame(&data).map_err(|why| malformed(&why))?;
    Ok(WholeReply { data, metadata: Some(Box::new(ReplyMetadata { headers: head.headers, trailers })) })
}

fn malformed(why: &dyn fmt::Display) -> Failure {
    Failure::new(Cause::Malformed, Status::internal(format!("the reply cannot be read: {why}")))
}
