//! The messages of a stream of users. The last one is the report.
//!
//! The calls run in a task of their own, and go on while nobody reads the stream: HTTP/2 does not poll a reply whose
//! reader has no room for it, and calls that nobody polls hold their places at the backends. As many messages wait for the
//! reader as calls may be in flight; then no more calls start.

use std::{
    collections::HashMap,
    pin::Pin,
    task::{Context, Poll, ready},
};

use fan_out::{CallError, Completed, FailurePolicy};
use fanout_proto::{
    Encoded,
    gateway::v1::{
        FanOutReport,
        spliced::{StreamUsersResponse, stream_users_response::Content},
    },
    user::v1::User,
};
use futures::{Stream, StreamExt as _};
use rpc_layers::{deadline::Deadline, limit::Permit, trace::SavedTime};
use tokio::{
    sync::mpsc::{self, error::SendError},
    task::yield_now,
    time::timeout_at,
};
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use crate::{
    error::{BackendError, Error, call_status},
    metrics::FanOutMetrics,
    profile::UserStream,
    report,
    stream_limit::{StreamLimit, StreamPermits},
};

const STREAM_USERS: &str = "fanout.gateway.v1.GatewayService/StreamUsers";

/// A stream that has not started.
#[derive(Debug)]
pub(crate) struct UserMessages {
    /// The calls.
    pub(crate) users: UserStream,
    /// What they are for.
    pub(crate) ids: Vec<String>,
    pub(crate) policy: FailurePolicy,
    /// How many calls may be in flight, and messages unread.
    pub(crate) max_in_flight: usize,
    /// The server's permits for the calls, which are as many requests to others.
    pub(crate) work: Option<Permit>,
    /// How many calls of all streams may be in flight.
    pub(crate) limit: StreamLimit,
    /// When the calls end, read or not.
    pub(crate) deadline: Option<Deadline>,
    pub(crate) metrics: FanOutMetrics,
    /// Known at the end.
    pub(crate) saved: SavedTime,
}

/// A message for each call as it ends, and then the report. Under fail-fast, the stream ends with the status of the first
/// call that fails. Dropping it cancels the calls.
#[derive(Debug)]
pub struct MessageStream {
    messages: mpsc::Receiver<Message>,
    deadline: Option<Deadline>,
    ended: bool,
    #[allow(dead_code, reason = "the calls end when it is dropped")]
    calls: AbortOnDropHandle<()>,
}

type Message = Result<StreamUsersResponse, Status>;

type CompletedUser = Completed<Encoded<User>, BackendError>;

/// The calls in flight, and the errors so far.
struct Calls {
    users: UserStream,
    ids: Vec<String>,
    /// How many calls have not ended.
    left: usize,
    policy: FailurePolicy,
    work: Option<Permit>,
    permits: StreamPermits,
    errors: HashMap<usize, CallError<BackendError>>,
    metrics: FanOutMetrics,
    saved: SavedTime,
    reader: mpsc::Sender<Message>,
}

// === impl UserMessages ===

impl UserMessages {
    /// Starts the calls.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub(crate) fn start(self) -> MessageStream {
        let Self { users, ids, policy, max_in_flight, work, limit, deadline, metrics, saved } = self;
        let (reader, messages) = mpsc::channel(max_in_flight.max(1));
        let (left, permits, errors) = (ids.len(), limit.stream(), HashMap::new());
        let calls = Calls { users, ids, left, policy, work, permits, errors, metrics, saved, reader };
        let run = async move {
            match deadline {
                // Those that wait for the reader then, too.
                Some(deadline) => drop(timeout_at(deadline.instant(), calls.run()).await),
                None => calls.run().await,
            }
        };
        MessageStream { messages, deadline, ended: false, calls: AbortOnDropHandle::new(tokio::spawn(run)) }
    }
}

// === impl MessageStream ===

impl Stream for MessageStream {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let message = ready!(self.messages.poll_recv(cx)).unwrap_or_else(|| Err(self.cut_off()));
        self.ended = match &message {
            Ok(StreamUsersResponse { content, .. }) => matches!(content, Some(Content::Report(_))),
            Err(_) => true,
        };
        Poll::Ready(Some(message))
    }
}

impl MessageStream {
    /// Returns the status of a stream whose calls ended before its last message.
    fn cut_off(&self) -> Status {
        if self.deadline.is_some_and(Deadline::is_past) {
            Status::deadline_exceeded("the deadline passed before all messages were read")
        } else {
            Status::internal("the stream's task ended before the stream")
        }
    }
}

// === impl Calls ===

impl Calls {
    /// Runs to the stream's end, or until it has no reader.
    async fn run(mut self) {
        loop {
            let Ok(completed) = self.completed().await else { return };
            let (message, is_last) = match completed {
                Some(completed) => {
                    let message = self.message(completed).await;
                    let is_last = message.is_err();
                    (message.map_err(Status::from), is_last)
                }
                None => (Ok(self.last_message()), true),
            };
            if self.reader.send(message).await.is_err() || is_last {
                return;
            }
            // The many calls of one request take turns with other requests.
            yield_now().await;
        }
    }

    /// Waits for the next result, `None` at the end. Starts calls as long as there is room for their messages, and in the
    /// limit of all streams.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no reader.
    async fn completed(&mut self) -> Result<Option<CompletedUser>, SendError<()>> {
        loop {
            let room = self.reader.capacity();
            let wanted = room.min(self.users.width()).min(self.left);
            let permitted = self.permits.adjust(self.users.running(), wanted);
            // At the end there is nothing left to start, and the report to make.
            self.users.set_room(if self.left == 0 { room } else { permitted });
            let running = self.users.running();
            // More calls may be waiting for room.
            let is_full = running >= room && running < self.reader.max_capacity();
            tokio::select! {
                biased;
                completed = self.users.next() => return Ok(completed),
                room = self.reader.reserve_many(running + 1), if is_full => drop(room?),
                () = self.permits.wait(), if permitted < wanted => {}
            }
        }
    }

    /// Returns the message for a result, or the error that ends the stream.
    async fn message(&mut self, completed: CompletedUser) -> Result<StreamUsersResponse, Error> {
        let Completed { index, result } = completed;
        self.left -= 1;
        if let Some(work) = &mut self.work {
            // The request has a permit of its own.
            work.shrink_to(self.left.saturating_sub(1));
        }
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

    fn last_message(&self) -> StreamUsersResponse {
        StreamUsersResponse { user_id: String::new(), content: Some(Content::Report(self.report())) }
    }

    /// Returns the report of a stream that has ended, and records it.
    fn report(&self) -> FanOutReport {
        let report = self.users.report();
        self.metrics.record(STREAM_USERS, &report);
        self.saved.set(report.saved);
        report::to_proto(&report, |index| self.errors.get(&index))
    }
}

#[cfg(test)]
mod tests;
