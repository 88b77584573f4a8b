//! One request, one reply.

use super::{LARGE_REPLY, Target, Verdict, expect, expect_zeros, large_request};
use crate::testing::Empty;

pub(super) async fn empty_unary(target: &Target<'_>) -> Verdict {
    let reply = target.client().empty_call(Empty {}).await?.into_inner();
    expect("the reply", reply, Empty {})
}

pub(super) async fn large_unary(target: &Target<'_>) -> Verdict {
    let reply = target.client().unary_call(large_request()).await?.into_inner();
    expect_zeros(reply.payload, LARGE_REPLY)
}
