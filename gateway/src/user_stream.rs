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
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use fan_out::{Call, FanOut, Strategy, call};
    use futures::{FutureExt as _, future::join_all};
    use tokio::time::{Instant, advance, sleep};
    use tonic::Code;

    use super::*;
    use crate::{backends::Reply, profile::UserCalls};

    /// How long a call takes.
    const TIME: Duration = Duration::from_millis(10);

    /// Counts the calls that began, and those that ended or were dropped.
    #[derive(Clone, Default)]
    struct Meter {
        begun: Arc<AtomicUsize>,
        gone: Arc<AtomicUsize>,
    }

    struct Active(Meter);

    impl Drop for Active {
        fn drop(&mut self) {
            self.0.gone.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Meter {
        fn call(&self, name: String) -> Call<Reply<User>> {
            let meter = self.clone();
            let reply = async move {
                meter.begun.fetch_add(1, Ordering::SeqCst);
                let _active = Active(meter);
                sleep(TIME).await;
                Ok(Encoded::from_checked(bytes::Bytes::new()))
            };
            call(name, reply.boxed())
        }

        fn begun(&self) -> usize {
            self.begun.load(Ordering::SeqCst)
        }

        fn active(&self) -> usize {
            self.begun() - self.gone.load(Ordering::SeqCst)
        }
    }

    /// Starts a stream of this many users, four at a time, that is alone.
    fn start(strategy: Strategy, users: usize, deadline: Option<Deadline>) -> (Meter, MessageStream) {
        start_in(StreamLimit::new(100), strategy, users, deadline)
    }

    fn start_in(
        limit: StreamLimit,
        strategy: Strategy,
        users: usize,
        deadline: Option<Deadline>,
    ) -> (Meter, MessageStream) {
        let meter = Meter::default();
        let ids: Vec<_> = (0..users).map(|id| id.to_string()).collect();
        let (begin, names) = (meter.clone(), ids.clone());
        let calls: UserCalls = Box::new(names.into_iter().map(move |name| begin.call(name)));
        let policy = FailurePolicy::FailFast;
        let messages = UserMessages {
            users: FanOut::new(strategy).on_failure(policy).as_completed(4, calls),
            ids,
            policy,
            max_in_flight: 4,
            work: None,
            limit,
            deadline,
            metrics: FanOutMetrics::new(None),
            saved: SavedTime::default(),
        };
        (meter, messages.start())
    }

    const ALL: [Strategy; 3] = [Strategy::Sequential, Strategy::Concurrent, Strategy::Spawned];

    #[tokio::test(start_paused = true)]
    async fn the_report_is_the_last_message_and_calls_run_at_once() {
        for (strategy, wall) in [(Strategy::Sequential, 200), (Strategy::Concurrent, 50), (Strategy::Spawned, 50)] {
            let begun = Instant::now();
            let (meter, mut messages) = start(strategy, 20, None);
            for _ in 0..20 {
                let message = messages.next().await.unwrap().unwrap();
                assert!(matches!(message.content, Some(Content::User(_))), "{message:?}");
            }
            let Some(Content::Report(report)) = messages.next().await.unwrap().unwrap().content else { panic!() };
            assert_eq!(report.calls.len(), 20);
            assert!(messages.next().await.is_none());
            assert_eq!((begun.elapsed(), meter.active()), (Duration::from_millis(wall), 0), "{strategy}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_streams_take_no_longer_than_their_calls_in_the_limit() {
        const STREAMS: u32 = 40;
        const USERS: u32 = 20;
        const LIMIT: u32 = 10;
        for strategy in ALL {
            let (limit, begun) = (StreamLimit::new(LIMIT as usize), Instant::now());
            let streams = (0..STREAMS).map(|_| start_in(limit.clone(), strategy, USERS as usize, None).1.count());
            let all = tokio::spawn(join_all(streams.collect::<Vec<_>>()));
            while !all.is_finished() {
                advance(TIME / 10).await;
                let elapsed = begun.elapsed();
                assert!(elapsed <= TIME * STREAMS * USERS / LIMIT * 2, "{strategy}: {elapsed:?}");
            }
            assert_eq!(all.await.unwrap(), [USERS as usize + 1; STREAMS as usize], "{strategy}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_go_on_without_a_reader_until_as_many_messages_wait_as_may_run() {
        for strategy in ALL {
            let (meter, mut messages) = start(strategy, 20, None);
            sleep(Duration::from_mins(1)).await;
            assert_eq!((meter.begun(), meter.active()), (4, 0), "{strategy}: none is held");
            for read in 1..=16 {
                messages.next().await.unwrap().unwrap();
                sleep(Duration::from_mins(1)).await;
                assert_eq!((meter.begun(), meter.active()), (4 + read, 0), "{strategy}");
            }
            assert_eq!(messages.count().await, 5, "four users and the report");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_reader_everything_ends_with_the_deadline() {
        let deadline = Deadline::after(Duration::from_secs(1));
        let (_, mut messages) = start(Strategy::Concurrent, 20, Some(deadline));
        sleep(Duration::from_secs(2)).await;
        assert!(messages.calls.is_finished());
        // What was ready then can still be read.
        for _ in 0..4 {
            messages.next().await.unwrap().unwrap();
        }
        assert_eq!(messages.next().await.unwrap().unwrap_err().code(), Code::DeadlineExceeded);
        assert!(messages.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_the_stream_cancels_its_calls() {
        for strategy in ALL {
            let (meter, messages) = start(strategy, 20, None);
            sleep(TIME / 2).await;
            assert!(meter.active() > 0);
            drop(messages);
            sleep(TIME / 4).await;
            assert_eq!(meter.active(), 0, "{strategy}");
        }
    }

    #[tokio::test]
    async fn a_stream_whose_task_ends_early_does_not_end_well() {
        let (_, mut messages) = start(Strategy::Concurrent, 20, None);
        messages.calls.abort();
        assert_eq!(messages.next().await.unwrap().unwrap_err().code(), Code::Internal);
        assert!(messages.next().await.is_none());
    }
}
