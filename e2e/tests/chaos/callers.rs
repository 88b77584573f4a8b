//! Callers that call without a pause until they are stopped, and what they observe.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use e2e::{TIMEOUT, connect, wait::within};
use fanout_proto::gateway::v1::{
    GetHomeCountryRequest, GetProfileRequest, gateway_service_client::GatewayServiceClient,
};
use tokio::{sync::Notify, task::JoinSet};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt as _;

/// The number of callers by default, each with one call at a time.
pub(crate) const CALLERS: usize = 16;

/// The time that a call may take on average: a build of everything beside the suite, on the same core, leaves it little.
const PER_CALL: Duration = Duration::from_millis(50);

/// The method that callers call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rpc {
    /// A user, then that user's country.
    HomeCountry,
    /// A user and the list of countries, concurrently.
    Profile,
}

/// Running callers.
pub(crate) struct Callers {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    observed: Mutex<Observed>,
    ended: Notify,
    stop: AtomicBool,
}

/// What callers observed: how often each status with its reason, and how long each call took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    pub(crate) statuses: BTreeMap<String, usize>,
    pub(crate) took: Vec<Duration>,
}

// === impl Callers ===

impl Callers {
    /// Starts the default number of callers of the gateway at this URL.
    pub(crate) async fn start(gateway: &str, rpc: Rpc) -> Self {
        Self::start_many(gateway, rpc, CALLERS).await
    }

    /// Starts callers of the gateway at this URL.
    pub(crate) async fn start_many(gateway: &str, rpc: Rpc, callers: usize) -> Self {
        let (shared, mut tasks) = (Arc::<Shared>::default(), JoinSet::new());
        for _ in 0..callers {
            let mut client = GatewayServiceClient::new(connect(gateway).await);
            let shared = Arc::clone(&shared);
            tasks.spawn(async move {
                while !shared.stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let status =
                        call(&mut client, rpc).await.map_or_else(|status| describe(&status), |()| "OK".to_owned());
                    shared.record(status, begun.elapsed());
                }
            });
        }
        Self { shared, tasks }
    }

    /// Waits until this many more calls have ended.
    pub(crate) async fn wait_for_calls(&self, calls: usize) {
        let goal = self.count() + calls;
        let done = |shared: &Shared| shared.observed.lock().unwrap().took.len() >= goal;
        self.wait(&format!("{goal} calls"), TIMEOUT + PER_CALL * u32::try_from(calls).unwrap(), done).await;
    }

    /// Waits until the condition is true, which is checked after each call.
    pub(crate) async fn wait_until(&self, what: &str, condition: impl Fn() -> bool) {
        self.wait(what, TIMEOUT, |_| condition()).await;
    }

    async fn wait(&self, what: &str, timeout: Duration, condition: impl Fn(&Shared) -> bool) {
        let wait = async {
            loop {
                let ended = self.shared.ended.notified();
                if condition(&self.shared) {
                    return;
                }
                ended.await;
            }
        };
        let observed = || self.shared.observed.lock().unwrap().statuses.clone();
        tokio::time::timeout(timeout, wait).await.unwrap_or_else(|_| panic!("timed out: {what}: {:?}", observed()));
    }

    pub(crate) fn count(&self) -> usize {
        self.shared.observed.lock().unwrap().took.len()
    }

    /// Returns what was observed since the last call of this method.
    pub(crate) fn take(&self) -> Observed {
        std::mem::take(&mut *self.shared.observed.lock().unwrap())
    }

    /// Stops them, and returns what they observed since the last [`Callers::take`].
    pub(crate) async fn stop(mut self) -> Observed {
        self.shared.stop.store(true, Ordering::Relaxed);
        within("the last call of each caller", async {
            while let Some(ended) = self.tasks.join_next().await {
                ended.unwrap();
            }
        })
        .await;
        self.take()
    }
}

/// Calls the gateway until this many calls have ended.
pub(crate) async fn call_many(gateway: &str, rpc: Rpc, calls: usize) -> Observed {
    let callers = Callers::start(gateway, rpc).await;
    callers.wait_for_calls(calls).await;
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

/// Returns the status and its reason, such as `UNAVAILABLE BACKEND_UNREACHABLE`.
fn describe(status: &Status) -> String {
    let code = rpc_layers::trace::code_name(status.code());
    match status.get_details_error_info() {
        Some(info) if status.code() != Code::Ok => format!("{code} {}", info.reason),
        _ => format!("{code} {:?}", status.message()),
    }
}

// === impl Shared ===

impl Shared {
    fn record(&self, status: String, took: Duration) {
        let mut observed = self.observed.lock().unwrap();
        *observed.statuses.entry(status).or_default() += 1;
        observed.took.push(took);
        drop(observed);
        self.ended.notify_waiters();
    }
}

// === impl Observed ===

impl Observed {
    pub(crate) fn calls(&self) -> usize {
        self.took.len()
    }

    pub(crate) fn ok(&self) -> usize {
        self.statuses.get("OK").copied().unwrap_or(0)
    }

    pub(crate) fn failed(&self) -> usize {
        self.calls() - self.ok()
    }

    /// Returns the duration that this share of the calls did not exceed.
    pub(crate) fn percentile(&self, share: f64) -> Duration {
        let mut took = self.took.clone();
        took.sort_unstable();
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let index = (took.len() as f64 * share) as usize;
        took[index.min(took.len() - 1)]
    }

    /// Prints a line of the table, and fails if a status other than these was observed.
    #[track_caller]
    pub(crate) fn report(&self, case: &str, allowed: &[&str]) {
        let statuses: Vec<_> = self.statuses.iter().map(|(status, times)| format!("{status} × {times}")).collect();
        println!("| {case} | {} | {} | {} |", self.calls(), self.failed(), statuses.join(", "));
        for status in self.statuses.keys() {
            assert!(allowed.contains(&status.as_str()), "{case}: {:?}", self.statuses);
        }
    }
}
