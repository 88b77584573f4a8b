//! Requests that are much work for the service and its backends.

use std::{future::pending, time::Duration};

use fanout_proto::gateway::v1::StreamUsersRequest;
use prost::Message as _;
use tokio::time::sleep;

use crate::{
    attack::Aim,
    frames::{INITIAL_WINDOW_SIZE, headers, message, stream},
};

/// Returns a request for a thousand users.
fn stream_users(stream: u32) -> Vec<u8> {
    let user_ids = vec!["ada".to_owned(); 1_000];
    let request = StreamUsersRequest { user_ids, max_in_flight: 256, ..StreamUsersRequest::default() };
    let headers = headers(stream, "/fanout.gateway.v1.GatewayService/StreamUsers");
    [headers, message(stream, &request.encode_to_vec())].concat()
}

/// Each of twelve requests in a second makes a thousand calls.
pub(super) async fn streams_of_users(aim: &Aim) {
    let mut attacker = aim.connect(&[(INITIAL_WINDOW_SIZE, 1 << 30)]).await;
    for call in 0.. {
        if !attacker.send(&stream_users(stream(call))).await {
            break;
        }
        aim.add_sent(1);
        sleep(Duration::from_secs(1) / 12).await;
    }
    aim.note_closed(attacker).await;
}

/// Replies whose reader has no window: the calls behind them must not wait for it.
pub(super) async fn streams_never_read(aim: &Aim) {
    let mut attacker = aim.connect(&[(INITIAL_WINDOW_SIZE, 0)]).await;
    for call in 0..66 {
        assert!(attacker.send(&stream_users(stream(call))).await);
        aim.add_sent(1);
    }
    pending::<()>().await;
}
