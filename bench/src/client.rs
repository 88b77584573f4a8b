//! A client that does as little as can be, so that the machine is left to what is measured: requests are ready-made, and
//! of replies only what shows that they are answers is read, which is their status and their shape.

use std::io;

use bytes::Bytes;
use h2::{RecvStream, client::SendRequest};
use http::{HeaderMap, Method, Response, StatusCode, Version, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::{
    BoxError, reply,
    request::{Request, TIMEOUT},
};

/// What the client lets a server send at once.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 1 << 24;

/// A connection.
#[derive(Debug)]
pub(crate) enum Client {
    Grpc(SendRequest<Bytes>),
    /// Takes one request at a time.
    Http(http1::SendRequest<Empty<Bytes>>),
}

// === impl Client ===

impl Client {
    /// Connects. The connection is driven by a task, which ends when the client is dropped.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no connection.
    pub(crate) async fn connect(address: &str, request: &Request) -> Result<Self, BoxError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        if request.body.is_none() {
            let (client, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            return Ok(Self::Http(client));
        }
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        let (client, connection) = builder.handshake(stream).await?;
        tokio::spawn(connection);
        Ok(Self::Grpc(client))
    }

    /// Returns a handle of the same connection. One of HTTP/1 has a single handle.
    pub(crate) fn share(&self) -> Option<Self> {
        match self {
            Self::Grpc(client) => Some(Self::Grpc(client.clone())),
            Self::Http(_) => None,
        }
    }

    /// Makes a request. Returns how many bytes the messages of the reply have.
    ///
    /// # Errors
    ///
    /// Returns an error if the reply is no answer: its status is another than OK, its shape is wrong, or it does not end.
    pub(crate) async fn call(&mut self, request: &Request, authority: &str) -> Result<usize, BoxError> {
        Ok(request.shape.check(&self.body(request, authority).await?)?)
    }

    /// Makes a request. Returns the message of the reply.
    ///
    /// # Errors
    ///
    /// Returns an error if the reply is no answer, or has not one message.
    pub(crate) async fn message(&mut self, request: &Request, authority: &str) -> Result<Bytes, BoxError> {
        let body = Bytes::from(self.body(request, authority).await?);
        request.shape.check(&body)?;
        Ok(reply::only_message(&body).ok_or("a reply of several messages")?)
    }

    async fn body(&mut self, request: &Request, authority: &str) -> Result<Vec<u8>, BoxError> {
        match self {
            Self::Grpc(client) => grpc(client, request, authority).await,
            Self::Http(client) => http(client, request, authority).await,
        }
    }

    /// Waits until the whole server serves, with one call however long it takes.
    ///
    /// # Errors
    ///
    /// Returns an error if it has no health service, or if the connection ends.
    pub(crate) async fn until_serving(&self, authority: &str) -> Result<(), BoxError> {
        let Self::Grpc(client) = self else { return Err("only gRPC has a health service".into()) };
        let mut reply = send(client, &Request::watch_health(), authority).await?.into_body();
        let mut read = Vec::new();
        while let Some(part) = reply.data().await {
            let part = part?;
            reply.flow_control().release_capacity(part.len())?;
            read.extend_from_slice(&part);
            // A health that is SERVING: `status: 1`.
            if reply::messages(&read).is_some_and(|messages| messages.last() == Some(&&[8, 1][..])) {
                return Ok(());
            }
        }
        Err(format!("{authority} does not say when it serves").into())
    }
}

async fn send(
    client: &SendRequest<Bytes>,
    request: &Request,
    authority: &str,
) -> Result<Response<RecvStream>, BoxError> {
    let mut client = client.clone().ready().await?;
    let headers = http::Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(format!("http://{authority}{}", request.path))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header("grpc-timeout", TIMEOUT)
        .body(())?;
    let (reply, mut body) = client.send_request(headers, false)?;
    body.send_data(request.body.clone().unwrap_or_default(), true)?;
    let reply = reply.await?;
    if reply.status() != StatusCode::OK {
        return Err(format!("HTTP status {}", reply.status()).into());
    }
    if reply.headers().contains_key("grpc-status") {
        return Err(failure(reply.headers()));
    }
    Ok(reply)
}

async fn grpc(client: &SendRequest<Bytes>, request: &Request, authority: &str) -> Result<Vec<u8>, BoxError> {
    let mut reply = send(client, request, authority).await?.into_body();
    let mut read = Vec::new();
    while let Some(part) = reply.data().await {
        let part = part?;
        reply.flow_control().release_capacity(part.len())?;
        read.extend_from_slice(&part);
    }
    let trailers = reply.trailers().await?.ok_or("a reply without trailers")?;
    match trailers.get("grpc-status").map(http::HeaderValue::as_bytes) {
        Some(b"0") => Ok(read),
        _ => Err(failure(&trailers)),
    }
}

fn failure(headers: &HeaderMap) -> BoxError {
    let text = |name| headers.get(name).map_or("none".into(), |value| String::from_utf8_lossy(value.as_bytes()));
    format!("gRPC status {}: {}", text("grpc-status"), text("grpc-message")).into()
}

async fn http(
    client: &mut http1::SendRequest<Empty<Bytes>>,
    request: &Request,
    authority: &str,
) -> Result<Vec<u8>, BoxError> {
    client.ready().await?;
    let get = http::Request::get(request.path).header(header::HOST, authority).body(Empty::new())?;
    let reply = client.send_request(get).await?;
    if reply.status() != StatusCode::OK {
        return Err(format!("HTTP status {}", reply.status()).into());
    }
    Ok(reply.into_body().collect().await.map_err(io::Error::other)?.to_bytes().into())
}
