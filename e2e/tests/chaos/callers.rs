//! Callers that go on until they are told to stop, and what they saw.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use e2e::PATIENCE;
use fanout_proto::gateway::v1::{
    GetHomeCountryRequest, GetProfileRequest, gateway_service_client::GatewayServiceClient,
};
use tokio::{sync::Notify, task::JoinSet};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt as _;

/// How many callers there are, each with one call at a time.
pub(crate) const CALLERS: usize = 16;

/// What they call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rpc {
    /// A user, then that user's country.
    HomeCountry,
    /// A user and the countries, at once.
    Profile,
}

/// Callers at work.
pub(crate) struct Callers {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Seen>,
    ended: Notify,
    stop: AtomicBool,
}

/// What callers saw: each status with its reason, how often, and how long each call took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) statuses: BTreeMap<String, usize>,
    pub(crate) took: Vec<Duration>,
}

// === impl Callers ===

impl Callers {
    /// Calls the gateway at this URL.
    pub(crate) async fn start(gateway: &str, rpc: Rpc) -> Self {
        Self::start_so_many(gateway, rpc, CALLERS).await
    }

    pub(crate) async fn start_so_many(gateway: &str, rpc: Rpc, callers: usize) -> Self {
        let (shared, mut tasks) = (Arc::<Shared>::default(), JoinSet::new());
        for _ in 0..callers {
            let mut client = GatewayServiceClient::connect(gateway.to_owned()).await.unwrap();
            let shared = Arc::clone(&shared);
            tasks.spawn(async move {
                while !shared.stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let status =
                        call(&mut client, rpc).await.map_or_else(|status| words(&status), |()| "OK".to_owned());
                    shared.note(status, begun.elapsed());
                }
            });
        }
        Self { shared, tasks }
    }

    /// Waits until so many more calls have ended.
    pub(crate) async fn make(&self, calls: usize) {
        let goal = self.count() + calls;
        self.wait_until(&format!("{goal} calls"), |shared| shared.seen.lock().unwrap().took.len() >= goal).await;
    }

    /// Waits until this is so; asks after each call.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        self.wait_until(what, |_| is_so()).await;
    }

    async fn wait_until(&self, what: &str, is_so: impl Fn(&Shared) -> bool) {
        let wait = async {
            loop {
                let ended = self.shared.ended.notified();
                if is_so(&self.shared) {
                    return;
                }
                ended.await;
            }
        };
        let seen = || self.shared.seen.lock().unwrap().statuses.clone();
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("not yet: {what}: {:?}", seen()));
    }

    pub(crate) fn count(&self) -> usize {
        self.shared.seen.lock().unwrap().took.len()
    }

    /// What was seen since the last time this was asked.
    pub(crate) fn take(&self) -> Seen {
        std::mem::take(&mut *self.shared.seen.lock().unwrap())
    }

    /// Stops them, and returns what they saw.
    pub(crate) async fn stop(mut self) -> Seen {
        self.shared.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        self.take()
    }
}

/// Calls until this many have ended.
pub(crate) async fn call_many(gateway: &str, rpc: Rpc, calls: usize) -> Seen {
    let callers = Callers::start(gateway, rpc).await;
    callers.make(calls).await;
    callers.stop().await
}

async fn call(client: &mut GatewayServiceClient<Channel>, rpc: Rpc) -> Result<(), Status> {
    let user_id = "ada".to_owned();
    match rpc {
        Rpc::HomeCountry => {
            client.get_home_country(GetHomeCountryRequest { user_id, ..GetHomeCountryRequest::default() }).await?;
        }
        Rpc::Profile => {
            client.get_profile(GetProfileRequest { user_id, ..GetProfileRequest::default() }).await?;
        }
    }
    Ok(())
}

/// The status and its reason, as in `UNAVAILABLE BACKEND_UNREACHABLE`.
fn words(status: &Status) -> String {
    let code = service_kit::trace::code_name(status.code());
    match status.get_details_error_info() {
        Some(info) if status.code() != Code::Ok => format!("{code} {}", info.reason),
        _ => format!("{code} {:?}", status.message()),
    }
}

// === impl Shared ===

impl Shared {
    fn note(&self, status: String, took: Duration) {
        let mut seen = self.seen.lock().unwrap();
        *seen.statuses.entry(status).or_default() += 1;
        seen.took.push(took);
        drop(seen);
        self.ended.notify_waiters();
    }
}

// === impl Seen ===

impl Seen {
    pub(crate) fn calls(&self) -> usize {
        self.took.len()
    }

    pub(crate) fn ok(&self) -> usize {
        self.statuses.get("OK").copied().unwrap_or(0)
    }

    pub(crate) fn failed(&self) -> usize {
        self.calls() - self.ok()
    }

    /// How long all but a share of the calls took at most.
    pub(crate) fn percentile(&self, share: f64) -> Duration {
        let mut took = self.took.clone();
        took.sort_unstable();
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let index = (took.len() as f64 * share) as usize;
        took[index.min(took.len() - 1)]
    }

    /// Prints a line of the table, and fails unless these statuses alone were seen.
    #[track_caller]
    pub(crate) fn report(&self, case: &str, may_see: &[&str]) {
        let saw: Vec<_> = self.statuses.iter().map(|(status, times)| format!("{status} × {times}")).collect();
        println!("| {case} | {} | {} | {} |", self.calls(), self.failed(), saw.join(", "));
        for status in self.statuses.keys() {
            assert!(may_see.contains(&status.as_str()), "{case}: {:?}", self.statuses);
        }
    }
}
