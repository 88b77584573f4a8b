//! Metadata that the server sends back, before and after its replies.

use tonic::{
    Request,
    metadata::{MetadataMap, MetadataValue},
};

use super::{LARGE_REPLY, LARGE_REQUEST, Target, Verdict, exchange, expect, expect_zeros, large_request};

const INITIAL: &str = "x-grpc-test-echo-initial";
const INITIAL_VALUE: &str = "test_initial_metadata_value";
const TRAILING: &str = "x-grpc-test-echo-trailing-bin";
const TRAILING_VALUE: [u8; 3] = [0xab; 3];

pub(super) async fn custom_metadata(target: &Target<'_>) -> Verdict {
    // tonic puts a unary reply's trailers into its metadata.
    let reply = target.client().unary_call(with_metadata(large_request())).await?;
    expect_initial(reply.metadata())?;
    expect_trailing(reply.metadata())?;
    expect_zeros(reply.into_inner().payload, LARGE_REPLY)?;

    let requests = tokio_stream::once(exchange(LARGE_REQUEST, LARGE_REPLY));
    let replies = target.client().full_duplex_call(with_metadata(requests)).await?;
    expect_initial(replies.metadata())?;
    let mut replies = replies.into_inner();
    let reply = replies.message().await?.ok_or("no reply")?;
    expect_zeros(reply.payload, LARGE_REPLY)?;
    expect("the reply after the last", replies.message().await?, None)?;
    expect_trailing(&replies.trailers().await?.ok_or("no trailers")?)
}

fn with_metadata<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(INITIAL, MetadataValue::from_static(INITIAL_VALUE));
    request.metadata_mut().insert_bin(TRAILING, MetadataValue::from_bytes(&TRAILING_VALUE));
    request
}

fn expect_initial(metadata: &MetadataMap) -> Verdict {
    let value = metadata.get(INITIAL).ok_or("the initial metadata is missing")?;
    expect("the initial metadata", value.to_str()?, INITIAL_VALUE)
}

fn expect_trailing(metadata: &MetadataMap) -> Verdict {
    let value = metadata.get_bin(TRAILING).ok_or("the trailing metadata is missing")?;
    expect("the trailing metadata", &value.to_bytes()?[..], &TRAILING_VALUE[..])
}
