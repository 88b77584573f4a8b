//! OTLP over HTTP.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
};
use hyper::body::Incoming;
use prost::Message;
use serde_json::json;
use tonic_types::pb::Status;

use crate::{
    accept::Answer,
    body::{Body, full},
    otlp::{
        receiver::{Encoding, MAX_REQUEST, Receiver},
        refusal::Refusal,
        signal::Signal,
    },
};

/// Answers requests of OTLP over HTTP.
#[derive(Clone, Debug)]
pub(crate) struct HttpReceiver(pub(crate) Receiver);

// === impl HttpReceiver ===

impl Answer for HttpReceiver {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let encoding = encoding(request.headers());
        match self.receive(request, encoding).await {
            Ok(body) => respond(StatusCode::OK, encoding.unwrap_or(Encoding::Protobuf), body),
            Err(refusal) => {
                self.0.refused(&refusal);
                refuse(&refusal, encoding.unwrap_or(Encoding::Json))
            }
        }
    }
}

impl HttpReceiver {
    async fn receive(&self, request: Request<Incoming>, encoding: Option<Encoding>) -> Result<Bytes, Refusal> {
        const PATHS: &str = "/v1/traces, /v1/metrics or /v1/logs";
        const TYPES: &str = "application/x-protobuf or application/json";
        let path = request.uri().path();
        let signal = Signal::of_http_path(path).ok_or_else(|| Refusal::Path(path.to_owned(), PATHS))?;
        if request.method() != Method::POST {
            return Err(Refusal::Method(request.method().clone()));
        }
        let encoding =
            encoding.ok_or_else(|| Refusal::ContentType(text(request.headers().get(CONTENT_TYPE)), TYPES))?;
        let gzip = match text(request.headers().get(CONTENT_ENCODING)).as_str() {
            "" | "identity" => false,
            "gzip" => true,
            other => return Err(Refusal::Encoding(other.to_owned())),
        };
        let body = self.0.budget().read(request.into_body(), MAX_REQUEST).await?;
        let partial = self.0.take(signal, encoding, gzip, body).await?;
        Ok(match encoding {
            Encoding::Protobuf => partial.protobuf(),
            Encoding::Json => partial.json(),
        })
    }
}

fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    let value = text(headers.get(CONTENT_TYPE));
    match value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/x-protobuf" | "application/protobuf" => Some(Encoding::Protobuf),
        "application/json" => Some(Encoding::Json),
        _ => None,
    }
}

fn text(value: Option<&HeaderValue>) -> String {
    value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
}

/// Returns the response with a `google.rpc.Status`, as OTLP says.
fn refuse(refusal: &Refusal, encoding: Encoding) -> Response<Body> {
    let (code, message) = (refusal.grpc_code() as i32, refusal.to_string());
    let body = match encoding {
        Encoding::Protobuf => Status { code, message, details: Vec::new() }.encode_to_vec().into(),
        Encoding::Json => json!({"code": code, "message": message}).to_string().into(),
    };
    let status = refusal.http_status();
    let mut response = respond(status, encoding, body);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

fn respond(status: StatusCode, encoding: Encoding, body: Bytes) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    let content_type = match encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
