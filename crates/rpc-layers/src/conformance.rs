//! Refuses requests that are not gRPC, and says that they are their caller's errors.
//!
//! tonic's servers read a request by its path alone, take any number of messages for a unary call, and report a message
//! that cannot be decoded as INTERNAL: as if the server had failed.

mod body;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE},
};
use pin_project_lite::pin_project;
use prost::DecodeError;
use tonic::{Code, Status, body::Body, server::NamedService};
use tower::{Layer, Service};

use self::body::OneMessage;
use crate::{source, streaming_methods::StreamingMethods};

/// Refuses requests that are not gRPC with `INVALID_ARGUMENT`:
///
/// * other methods than POST, with HTTP status 405;
/// * other types of content than protobuf in gRPC's framing, with HTTP status 415;
/// * no message, more than one, or a part of one, unless the method's requests stream;
/// * a message that cannot be decoded, if the status that the service replies with has the [`DecodeError`] as its source.
///
/// gRPC's own status stands beside that of HTTP, as in grpc-go. It is `INVALID_ARGUMENT`, not INTERNAL or UNIMPLEMENTED:
/// these count as failures of the server.
#[derive(Clone, Debug, Default)]
pub struct ConformanceLayer {
    streaming: StreamingMethods,
}

/// The service of [`ConformanceLayer`].
#[derive(Clone, Debug)]
pub struct Conformance<S> {
    inner: S,
    streaming: StreamingMethods,
}

pin_project! {
    /// The response future of [`Conformance`].
    pub struct ConformanceFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Called { #[pin] call: F },
        Refused { response: Option<Response<Body>> },
    }
}

// === impl ConformanceLayer ===

impl ConformanceLayer {
    /// Creates a layer for services with the methods of an encoded `google.protobuf.FileDescriptorSet`. Requests of other
    /// methods have one message.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes cannot be decoded as one.
    pub fn decode(descriptors: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self { streaming: StreamingMethods::decode(descriptors)? })
    }
}

impl<S> Layer<S> for ConformanceLayer {
    type Service = Conformance<S>;

    fn layer(&self, inner: S) -> Conformance<S> {
        Conformance { inner, streaming: self.streaming.clone() }
    }
}

// === impl Conformance ===

impl<S: NamedService> NamedService for Conformance<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Conformance<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ConformanceFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if let Some(response) = refusal(request.method(), request.headers()) {
            return ConformanceFuture { state: State::Refused { response: Some(response) } };
        }
        let request = if self.streaming.contains(request.uri()) {
            request
        } else {
            let is_compressed = request.headers().get("grpc-encoding").is_some_and(|encoding| encoding != "identity");
            request.map(|body| Body::new(OneMessage::new(body, is_compressed)))
        };
        ConformanceFuture { state: State::Called { call: self.inner.call(request) } }
    }
}

/// Returns the response to a request that is not gRPC by its headers.
fn refusal(method: &Method, headers: &HeaderMap) -> Option<Response<Body>> {
    if method != Method::POST {
        let mut response = invalid("the request's method is not POST").into_http();
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Some(response);
    }
    if headers.get(CONTENT_TYPE).is_some_and(is_grpc) {
        return None;
    }
    let mut response =
        invalid("the request's content type is not application/grpc or application/grpc+proto").into_http();
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Some(response)
}

/// Returns whether this is the type of protobuf messages in gRPC's framing, with or without parameters.
fn is_grpc(content_type: &HeaderValue) -> bool {
    let kind = content_type.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    kind.eq_ignore_ascii_case(b"application/grpc") || kind.eq_ignore_ascii_case(b"application/grpc+proto")
}

fn invalid(message: &str) -> Status {
    Status::invalid_argument(message)
}

// === impl ConformanceFuture ===

impl<F> Future for ConformanceFuture<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Refused { response } => Poll::Ready(Ok(response.take().expect("not polled after completion"))),
            StateProj::Called { call } => {
                let Ok(response) = ready!(call.poll(cx));
                Poll::Ready(Ok(undecodable(&response).map_or(response, Status::into_http)))
            }
        }
    }
}

/// Returns the status in place of the INTERNAL of a request whose message cannot be decoded.
fn undecodable(response: &Response<Body>) -> Option<Status> {
    let status = response.extensions().get::<Status>().filter(|status| status.code() == Code::Internal)?;
    source::find::<DecodeError>(status).map(|error| invalid(&error.to_string()))
}
