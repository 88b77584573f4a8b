//! OTLP over HTTP.
//!
//! Pages of this machine may send their own traces, as the collector allows it to the origins that it is told: they get
//! the headers of CORS. Those of other sites may not, also if a name of theirs was made to lead here.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ALLOW, CONTENT_ENCODING,
        CONTENT_TYPE, ORIGIN, RETRY_AFTER, VARY,
    },
};
use hyper::body::Incoming;
use prost::Message;
use serde_json::json;
use tonic_types::pb::Status;

use crate::{
    accept::Answer,
    body::{Body, full},
    host::is_loopback_origin,
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
        let page = match page(request.headers()) {
            Ok(page) => page,
            Err(refusal) => return self.refuse(&refusal, encoding),
        };
        if let Some(page) = &page
            && request.method() == Method::OPTIONS
        {
            return preflight(page, request.headers());
        }
        let mut response = match self.receive(request, encoding).await {
            Ok(body) => respond(StatusCode::OK, encoding.unwrap_or(Encoding::Protobuf), body),
            Err(refusal) => self.refuse(&refusal, encoding),
        };
        if let Some(page) = &page {
            share(page, response.headers_mut());
        }
        response
    }
}

impl HttpReceiver {
    fn refuse(&self, refusal: &Refusal, encoding: Option<Encoding>) -> Response<Body> {
        self.0.refused(refusal);
        refuse(refusal, encoding.unwrap_or(Encoding::Json))
    }

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

/// Returns the origin of the page that sends this, or `None` if it is no page. Neither header can be set by a page.
fn page(headers: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
    let Some(origin) = headers.get(ORIGIN) else {
        let is_foreign = headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
        return if is_foreign { Err(Refusal::Origin("another site".to_owned())) } else { Ok(None) };
    };
    let is_local = origin.to_str().is_ok_and(is_loopback_origin);
    if is_local { Ok(Some(origin.clone())) } else { Err(Refusal::Origin(text(Some(origin)))) }
}

/// Tells a browser that a page may read the response. Nothing here depends on credentials, which some exporters send.
fn share(page: &HeaderValue, headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, page.clone());
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.insert(VARY, HeaderValue::from_static("origin"));
}

/// Tells a browser that a page may send requests.
fn preflight(page: &HeaderValue, request: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    share(page, headers);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    // Those of the exporter's own settings mean nothing here.
    if let Some(wanted) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    response
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
