//! Streams of requests, of replies, and of both.

use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};

use super::{Target, Verdict, exchange, expect, expect_zeros, zeros};
use crate::testing::{ResponseParameters, StreamingInputCallRequest, StreamingOutputCallRequest};

const REQUESTS: [usize; 4] = [27_182, 8, 1_828, 45_904];
const REPLIES: [i32; 4] = [31_415, 9, 2_653, 58_979];

pub(super) async fn client_streaming(target: &Target<'_>) -> Verdict {
    let requests = tokio_stream::iter(REQUESTS).map(|size| StreamingInputCallRequest { payload: zeros(size) });
    let reply = target.client().streaming_input_call(requests).await?.into_inner();
    expect("the sum of sizes", reply.aggregated_payload_size, 74_922)
}

pub(super) async fn server_streaming(target: &Target<'_>) -> Verdict {
    let request = StreamingOutputCallRequest {
        response_parameters: REPLIES.map(|size| ResponseParameters { size, interval_us: 0 }).to_vec(),
        ..StreamingOutputCallRequest::default()
    };
    let mut replies = target.client().streaming_output_call(request).await?.into_inner();
    for size in REPLIES {
        let reply = replies.message().await?.ok_or("too few replies")?;
        expect_zeros(reply.payload, size)?;
    }
    expect("the reply after the last", replies.message().await?, None)
}

pub(super) async fn ping_pong(target: &Target<'_>) -> Verdict {
    let (requests, receiver) = mpsc::channel(1);
    let mut sizes = REQUESTS.into_iter().zip(REPLIES);
    // Servers may send their headers only with the first reply.
    let (request, mut size) = sizes.next().ok_or("no sizes")?;
    requests.send(exchange(request, size)).await?;
    let mut replies = target.client().full_duplex_call(ReceiverStream::new(receiver)).await?.into_inner();
    loop {
        let reply = replies.message().await?.ok_or("too few replies")?;
        expect_zeros(reply.payload, size)?;
        let Some((request, next)) = sizes.next() else { break };
        requests.send(exchange(request, next)).await?;
        size = next;
    }
    drop(requests);
    expect("the reply after the last", replies.message().await?, None)
}

pub(super) async fn empty_stream(target: &Target<'_>) -> Verdict {
    let mut replies = target.client().full_duplex_call(tokio_stream::empty()).await?.into_inner();
    expect("the first reply", replies.message().await?, None)
}
