//! Sends the request of a call on an HTTP/2 stream.

use std::{future::poll_fn, pin::Pin};

use bytes::Bytes;
use h2::{Reason, SendStream, client};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
    header::{CONTENT_TYPE, TE, USER_AGENT},
    uri::PathAndQuery,
};
use http_body::Body as _;
use tokio_util::task::AbortOnDropHandle;

use crate::request_body::{RequestBody, RequestStream};

/// Headers of every call. The caller's own stay.
const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (TE, HeaderValue::from_static("trailers")),
    (CONTENT_TYPE, HeaderValue::from_static("application/grpc")),
    (USER_AGENT, HeaderValue::from_static(concat!("grpc-channel/", env!("CARGO_PKG_VERSION")))),
];

/// A request that is being sent: dropping the task, if there is one, stops it.
pub(crate) struct Sent {
    pub(crate) response: client::ResponseFuture,
    /// Sends what the caller has yet to say.
    pub(crate) sending: Option<AbortOnDropHandle<()>>,
}

/// Returns a request for a method below `origin`, with `metadata` and the headers of every call.
pub(crate) fn request<B>(origin: &Uri, path: &PathAndQuery, metadata: HeaderMap, body: B) -> Request<B> {
    let mut parts = origin.clone().into_parts();
    parts.path_and_query = Some(path.clone());
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_parts(parts).expect("an origin has a scheme and an authority");
    let headers = request.headers_mut();
    *headers = metadata;
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(value);
    }
    request
}

/// Sends a request: a whole one at once, and one that streams in a task of its own.
///
/// # Errors
///
/// Returns an error if the connection accepts no more calls. The messages of the request are then still there.
pub(crate) fn send(
    connection: &mut client::SendRequest<Bytes>,
    request: Request<RequestBody>,
) -> Result<Sent, h2::Error> {
    let (head, body) = request.into_parts();
    let (response, mut stream) = connection.send_request(Request::from_parts(head, ()), false)?;
    let sending = match body {
        RequestBody::Whole(frame) => {
            // A peer may reply before it has the message, and close the stream: its reply is in the response, and it has
            // seen the call.
            let _ = stream.send_data(frame, true);
            None
        }
        RequestBody::Stream(messages) => {
            let messages = messages.lock().take();
            if messages.is_none() {
                stream.send_reset(Reason::CANCEL);
            }
            messages.map(|messages| AbortOnDropHandle::new(tokio::spawn(send_messages(messages, stream))))
        }
    };
    Ok(Sent { response, sending })
}

/// Sends the messages of a request as they come and as the peer has room for them. Ends early if the peer resets the
/// stream; resets it if the caller's own stream fails.
async fn send_messages(RequestStream { head, mut rest }: RequestStream, mut stream: SendStream<Bytes>) {
    if let Some(head) = head
        && send_chunk(head, &mut stream).await.is_err()
    {
        return;
    }
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut rest).poll_frame(cx)).await {
        let Ok(frame) = frame else {
            stream.send_reset(Reason::CANCEL);
            return;
        };
        if let Ok(chunk) = frame.into_data()
            && send_chunk(chunk, &mut stream).await.is_err()
        {
            return;
        }
    }
    let _ = stream.send_data(Bytes::new(), true);
}

/// Sends a chunk, piece by piece, as the peer has room for it.
async fn send_chunk(mut chunk: Bytes, stream: &mut SendStream<Bytes>) -> Result<(), h2::Error> {
    while !chunk.is_empty() {
        stream.reserve_capacity(chunk.len());
        let room = match poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(room) => room?,
            None => return Err(Reason::CANCEL.into()),
        };
        stream.send_data(chunk.split_to(room.min(chunk.len())), false)?;
    }
    Ok(())
}
