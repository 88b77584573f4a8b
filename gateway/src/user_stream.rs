//! The messages of a stream of users. The last one is the report.

use std::collections::HashMap;

use fan_out::{CallError, Completed, FailurePolicy};
use fanout_proto::gateway::v1::{
    FanOutReport,
    spliced::{StreamUsersResponse, stream_users_response::Content},
};
use futures::{Stream, StreamExt as _, stream};
use rpc_layers::trace::SavedTime;
use tonic::Status;

use crate::{
    error::{BackendError, Error, call_status},
    metrics::FanOutMetrics,
    profile::UserStream,
    report,
};

/// The state of a stream: calls in flight, and the errors so far.
struct Messages {
    users: UserStream,
    ids: Vec<String>,
    policy: FailurePolicy,
    errors: HashMap<usize, CallError<BackendError>>,
    metrics: FanOutMetrics,
    saved: SavedTime,
}

const STREAM_USERS: &str = "fanout.gateway.v1.GatewayService/StreamUsers";

/// Returns a message for each call as it ends, and then the report. Under fail-fast, the stream ends with the status of
/// the first call that fails.
pub(crate) fn messages(
    users: UserStream,
    ids: Vec<String>,
    policy: FailurePolicy,
    metrics: FanOutMetrics,
    saved: SavedTime,
) -> impl Stream<Item = Result<StreamUsersResponse, Status>> + Send {
    let messages = Messages { users, ids, policy, errors: HashMap::new(), metrics, saved };
    stream::unfold(Some(messages), |messages| async {
        let mut messages = messages?;
        match messages.next().await {
            Ok(message @ StreamUsersResponse { content: Some(Content::Report(_)), .. }) => Some((Ok(message), None)),
            Ok(message) => Some((Ok(message), Some(messages))),
            Err(error) => Some((Err(error.into()), None)),
        }
    })
}

// === impl Messages ===

impl Messages {
    async fn next(&mut self) -> Result<StreamUsersResponse, Error> {
        let Some(Completed { index, result }) = self.users.next().await else {
            let content = Some(Content::Report(self.report()));
            return Ok(StreamUsersResponse { user_id: String::new(), content });
        };
        let user_id = self.ids[index].clone();
        let content = match result {
            Ok(user) => Content::User(user),
            Err(error) if self.policy == FailurePolicy::BestEffort => {
                let status = call_status(&user_id, &error);
                self.errors.insert(index, error);
                Content::Error(status)
            }
            Err(error) => {
                // Waits until the other calls are cancelled, so that the report is complete.
                while self.users.next().await.is_some() {}
                self.errors.insert(index, error.clone());
                return Err(Error::call(user_id, error, self.report()));
            }
        };
        Ok(StreamUsersResponse { user_id, content: Some(content) })
    }

    /// Returns the report of a stream that has ended, and records it.
    fn report(&self) -> FanOutReport {
        let report = self.users.report();
        self.metrics.record(STREAM_USERS, &report);
        self.saved.set(report.saved);
        report::to_proto(&report, |index| self.errors.get(&index))
    }
}
