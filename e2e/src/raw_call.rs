//! A unary call over h2 itself, without a gRPC client: nothing here has a timer, retries or a deadline of its own.
//!
//! tonic's `Channel` reads `grpc-timeout` too and may end the call before the server does.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request};
use prost::Message;
use tokio::net::TcpStream;

use crate::wait::within;

/// Makes the call, and returns the `grpc-status` of the reply.
pub async fn unary_status(url: &str, path: &str, headers: &[(&str, &str)], message: &impl Message) -> String {
    within("the reply to a raw call", call(url, path, headers, message)).await
}

async fn call(url: &str, path: &str, headers: &[(&str, &str)], message: &impl Message) -> String {
    let stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut request = Request::post(format!("{url}/{path}"));
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")].iter().chain(headers) {
        request = request.header(*name, *value);
    }
    let (reply, mut body) = client.send_request(request.body(()).unwrap(), false).unwrap();
    // A server may reply and close the stream between the headers and the message: its reply counts.
    let _ = body.send_data(frame(message), true);
    let reply = reply.await.unwrap();
    if let Some(status) = grpc_status(reply.headers()) {
        return status;
    }
    let mut body = reply.into_body();
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data.unwrap().len()).unwrap();
    }
    let trailers = body.trailers().await.unwrap().expect("a gRPC reply ends with trailers");
    connection.abort();
    grpc_status(&trailers).expect("the trailers of a gRPC reply contain the status")
}

/// Returns the message with gRPC's prefix: not compressed, and its length.
fn frame(message: &impl Message) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len()).unwrap());
    message.encode(&mut frame).unwrap();
    frame.freeze()
}

fn grpc_status(headers: &HeaderMap) -> Option<String> {
    headers.get("grpc-status").map(|status| status.to_str().unwrap().to_owned())
}
