//! Calls that end before the server has replied to everything.
//!
//! A Rust client cancels a call by dropping it, which leaves no status to look at. The server
//! reports the cancellation instead, by the id that the call carries.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request};

use super::{Target, Verdict, exchange, expect, expect_zeros, unary, zeros};
use crate::{
    server::Event,
    testing::{StreamingInputCallRequest, StreamingOutputCallRequest},
};

/// The upper bound for the wait until the server has noticed what a client did. A busy machine takes seconds.
const EVENT_TIMEOUT: Duration = Duration::from_mins(1);

pub(super) async fn cancel_after_begin(target: &Target<'_>) -> Verdict {
    let (requests, receiver) = mpsc::channel::<StreamingInputCallRequest>(1);
    let (id, request) = with_id(ReceiverStream::new(receiver));
    let mut client = target.client();
    let call = tokio::spawn(async move { client.streaming_input_call(request).await });
    // The metadata has arrived, and no message is sent.
    expect_event(target, Event::Begun(id.clone())).await?;
    call.abort();
    expect("the call was cancelled", call.await.is_err_and(|error| error.is_cancelled()), true)?;
    expect_event(target, Event::Cancelled(id)).await?;
    drop(requests);
    unary::empty_unary(target).await
}

pub(super) async fn cancel_after_first_response(target: &Target<'_>) -> Verdict {
    let (requests, receiver) = mpsc::channel(1);
    requests.send(exchange(27_182, 31_415)).await?;
    let (id, request) = with_id(ReceiverStream::new(receiver));
    let mut replies = target.client().full_duplex_call(request).await?.into_inner();
    let reply = replies.message().await?.ok_or("no reply")?;
    expect_zeros(reply.payload, 31_415)?;
    // The client keeps its stream of requests open: dropping the replies alone has to be enough.
    drop(replies);
    expect_event(target, Event::Cancelled(id)).await?;
    drop(requests);
    unary::empty_unary(target).await
}

pub(super) async fn timeout_on_sleeping_server(target: &Target<'_>) -> Verdict {
    let (requests, receiver) = mpsc::channel(1);
    requests
        .send(StreamingOutputCallRequest { payload: zeros(27_182), ..StreamingOutputCallRequest::default() })
        .await?;
    let mut request = Request::new(ReceiverStream::new(receiver));
    request.set_timeout(Duration::from_millis(1));
    let status = match target.client().full_duplex_call(request).await {
        Err(status) => status,
        Ok(replies) => replies.into_inner().message().await.err().ok_or("the stream succeeded")?,
    };
    expect("the code", status.code(), Code::DeadlineExceeded)
}

/// Waits until the server reports this event.
async fn expect_event(target: &Target<'_>, event: Event) -> Verdict {
    let reported = tokio::time::timeout(EVENT_TIMEOUT, target.server.reported(&event)).await;
    Ok(reported.map_err(|_| match event {
        Event::Begun(_) => "the server does not see the call",
        Event::Cancelled(_) => "the server does not see the cancellation",
    })?)
}

/// Returns a request with an id that no other call of this process has.
fn with_id<T>(message: T) -> (String, Request<T>) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let id = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
    let mut request = Request::new(message);
    request.metadata_mut().insert("x-call-id", id.parse().expect("digits are a metadata value"));
    (id, request)
}
