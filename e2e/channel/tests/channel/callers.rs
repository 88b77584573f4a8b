//! Many calls at once.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use channel_tests::{echo::EchoRequest, server::EchoServer};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tonic::Status;

use crate::{Client, event, text};

/// How many callers call at once.
pub(crate) const CALLERS: usize = 16;

/// What a caller calls, again and again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rpc {
    /// Unary, may be sent twice.
    Get,
    /// Unary, must not be sent twice.
    Create,
    /// Streams 3 replies.
    List,
    /// Streams 3 requests.
    Collect,
    /// Streams both.
    Chat,
}

/// Callers that call until they are stopped.
pub(crate) struct Callers {
    tasks: JoinSet<()>,
    shared: Arc<State>,
}

#[derive(Default)]
struct State {
    stopped: AtomicBool,
    calls: AtomicUsize,
    observed: Mutex<Observed>,
    changed: tokio::sync::Notify,
}

/// How calls ended.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// How many calls ended with each status.
    pub(crate) statuses: BTreeMap<String, usize>,
    /// How many of the failed calls a server may have seen.
    pub(crate) seen: usize,
    pub(crate) longest: Duration,
}

// === impl Rpc ===

impl Rpc {
    pub(crate) const ALL: [Self; 5] = [Self::Get, Self::Create, Self::List, Self::Collect, Self::Chat];

    pub(crate) async fn call(self, client: &mut Client) -> Result<(), Status> {
        let three = || tokio_stream::iter([text("a"), text("b"), text("c")]);
        match self {
            Self::Get => assert_eq!(client.get(text("a")).await?.into_inner().text, "a"),
            Self::Create => assert_eq!(client.create(text("a")).await?.into_inner().text, "a"),
            Self::List => {
                let request = EchoRequest { replies: 3, ..text("a") };
                let mut replies = client.list(request).await?.into_inner();
                for _ in 0..3 {
                    assert!(replies.message().await?.is_some());
                }
                assert_eq!(replies.message().await?, None);
            }
            Self::Collect => assert_eq!(client.collect(three()).await?.into_inner().requests, 3),
            Self::Chat => {
                let mut replies = client.chat(three()).await?.into_inner();
                for text in ["a", "b", "c"] {
                    assert_eq!(replies.message().await?.map(|reply| reply.text).as_deref(), Some(text));
                }
                assert_eq!(replies.message().await?, None);
            }
        }
        Ok(())
    }
}

// === impl Callers ===

impl Callers {
    pub(crate) fn start(client: &Client, rpc: Rpc) -> Self {
        let shared = Arc::<State>::default();
        let mut tasks = JoinSet::new();
        for _ in 0..CALLERS {
            let (mut client, shared) = (client.clone(), Arc::clone(&shared));
            tasks.spawn(async move {
                while !shared.stopped.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let result = rpc.call(&mut client).await;
                    shared.observed.lock().add(&result, begun.elapsed());
                    shared.calls.fetch_add(1, Ordering::Relaxed);
                    shared.changed.notify_waiters();
                }
            });
        }
        Self { tasks, shared }
    }

    /// Waits for so many more calls to end.
    pub(crate) async fn wait_for_calls(&self, calls: usize) {
        let until = self.shared.calls.load(Ordering::Relaxed) + calls;
        self.wait_until("the calls end", || self.shared.calls.load(Ordering::Relaxed) >= until).await;
    }

    /// Waits until this is so; it is looked at after each call.
    pub(crate) async fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let wait = async {
            loop {
                let mut changed = std::pin::pin!(self.shared.changed.notified());
                changed.as_mut().enable();
                if is_so() {
                    return;
                }
                changed.await;
            }
        };
        event(what, wait).await;
    }

    pub(crate) async fn stop(mut self) -> Observed {
        self.shared.stopped.store(true, Ordering::Relaxed);
        while let Some(ended) = event("a caller ends", self.tasks.join_next()).await {
            ended.unwrap();
        }
        std::mem::take(&mut *self.shared.observed.lock())
    }
}

// === impl Observed ===

impl Observed {
    fn add(&mut self, result: &Result<(), Status>, took: Duration) {
        let status = match result {
            Ok(()) => "OK".to_owned(),
            Err(status) => format!("{:?}: {}", status.code(), status.message()),
        };
        self.seen += usize::from(result.as_ref().is_err_and(crate::seen));
        *self.statuses.entry(status).or_default() += 1;
        self.longest = self.longest.max(took);
    }

    pub(crate) fn calls(&self) -> usize {
        self.statuses.values().sum()
    }

    pub(crate) fn failed(&self) -> usize {
        self.calls() - self.statuses.get("OK").copied().unwrap_or_default()
    }
}

/// Calls, whatever comes of it, until each of these servers was called: a channel is ready with the first connection.
pub(crate) async fn until_each_is_called(client: &mut Client, rpc: Rpc, servers: &[&EchoServer]) {
    let called = async {
        while servers.iter().any(|server| server.log().counts().begun == 0) {
            let _ = rpc.call(client).await;
        }
    };
    event("each server is called", called).await;
}

/// Makes so many calls.
pub(crate) async fn call_many(client: &Client, rpc: Rpc, calls: usize) -> Observed {
    let callers = Callers::start(client, rpc);
    callers.wait_for_calls(calls).await;
    callers.stop().await
}
