//! A closed loop: as many callers as requests are to be in flight, each of which makes the next request when it has the
//! reply to the last.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

use futures::future::join_all;
use hdrhistogram::Histogram;
use process_usage::ProcessorTime;
use tokio::{
    sync::Notify,
    task::LocalSet,
    time::{Instant, sleep, timeout},
};

use crate::{BoxError, client::Client, process::Process, request::Request};

/// How many callers share a connection at most.
const CALLERS_PER_CONNECTION: usize = 100;
/// How many connections there are at least, if there are as many callers: a service has more callers than one.
const CONNECTIONS: usize = 8;

/// How long the load goes on at least before it is measured.
const WARM_UP: Duration = Duration::from_millis(400);

/// How many replies each caller has at least while it is measured: the first and the last are cut by the beginning and the
/// end.
const REPLIES_PER_CALLER: usize = 3;
/// How many replies there are in all, at least: fewer are too few for a 99th percentile, and for ticks of 10 ms.
const REPLIES: usize = 100;

/// How long it may take until there are so many replies, and how long a caller waits for its last one.
const LIMIT: Duration = Duration::from_mins(1);
const LAST: Duration = Duration::from_secs(15);

/// How far the number in flight may be from what Little's law makes of the replies, in percent.
const MARGIN: f64 = 20.0;

/// What is put under load.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) address: String,
    pub(crate) request: Request,
    pub(crate) in_flight: usize,
    /// How long it is measured, at least.
    pub(crate) time: Duration,
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Measured {
    /// How many requests were answered.
    pub(crate) requests: u64,
    /// Requests that began while it was measured, and had no answer.
    pub(crate) failures: BTreeMap<String, u64>,
    pub(crate) elapsed: Duration,
    /// Of the process.
    pub(crate) processor_time: ProcessorTime,
    /// In nanoseconds.
    pub(crate) latencies: Histogram<u64>,
    /// How many bytes the messages of a reply have, on average.
    pub(crate) reply_bytes: u64,
    /// How many requests were made in all, those before and after the measurement among them.
    pub(crate) all_requests: u64,
}

#[derive(Debug)]
struct Tally {
    is_over: Cell<bool>,
    all_requests: Cell<u64>,
    /// Callers that have had no reply at all.
    waiting_for_first: Cell<usize>,
    requests: Cell<u64>,
    bytes: Cell<u64>,
    failures: RefCell<BTreeMap<String, u64>>,
    latencies: RefCell<Histogram<u64>>,
    /// What callers have spent on requests that have ended, answered or not.
    spent: Cell<Duration>,
    /// How many requests have to end until `reached` is notified.
    goal: Cell<u64>,
    reached: Notify,
}

// === impl Measured ===

impl Measured {
    /// Returns the kernel's part of the processor time, from 0 to 1.
    pub(crate) fn kernel_share(&self) -> f64 {
        // None at all is less than a tick.
        let total = self.processor_time.total().max(Duration::from_millis(1));
        self.processor_time.system.as_secs_f64() / total.as_secs_f64()
    }
}

// === impl Load ===

impl Load {
    /// Puts the process under load and measures it.
    ///
    /// # Errors
    ///
    /// Returns an error if it refuses connections, answers nothing or too slowly, or ends; and if the figures contradict each
    /// other.
    pub(crate) async fn measure(&self, process: &Process) -> Result<Measured, BoxError> {
        LocalSet::new().run_until(self.measure_locally(process)).await
    }

    async fn measure_locally(&self, process: &Process) -> Result<Measured, BoxError> {
        let tally = Rc::new(Tally::new(self.in_flight)?);
        let clients = clients(&self.address, &self.request, self.in_flight).await?;
        let callers: Vec<_> =
            clients.into_iter().map(|client| tokio::task::spawn_local(self.caller(client, &tally))).collect();
        self.at_least(WARM_UP, &tally, "a first reply to each caller").await?;
        let goal = (self.in_flight * REPLIES_PER_CALLER).max(REPLIES) as u64;
        tally.reset(goal);
        let (begun, used) = (Instant::now(), process.usage().processor_time()?);
        self.at_least(self.time, &tally, &format!("{goal} replies")).await?;
        let mut measured = Measured {
            elapsed: begun.elapsed(),
            processor_time: process.usage().processor_time()?.since(used),
            requests: tally.requests.get(),
            failures: BTreeMap::new(),
            latencies: tally.latencies.borrow().clone(),
            reply_bytes: tally.bytes.get() / tally.requests.get().max(1),
            all_requests: 0,
        };
        let spent = tally.spent.get();
        tally.is_over.set(true);
        timeout(LAST, join_all(callers))
            .await
            .map_err(|_| format!("a request at {} has had no reply for {} s", self.address, LAST.as_secs()))?;
        // Also those of the requests that were in flight at the end: a request that is lost takes the longest.
        measured.failures = tally.failures.take();
        measured.all_requests = tally.all_requests.get();
        if measured.requests == 0 {
            return Err(format!("no request was answered: {:?}", measured.failures).into());
        }
        little(self.in_flight, spent, measured.elapsed)?;
        Ok(measured)
    }

    /// Waits for this time, and until the tally's goal is reached.
    async fn at_least(&self, time: Duration, tally: &Tally, what: &str) -> Result<(), BoxError> {
        let both = async { tokio::join!(sleep(time), tally.reached.notified()) };
        timeout(LIMIT, both).await.map_err(|_| {
            format!("{} has not given {what} within {} s: {:?}", self.address, LIMIT.as_secs(), tally.failures.take())
        })?;
        Ok(())
    }

    fn caller(&self, mut client: Client, tally: &Rc<Tally>) -> impl Future<Output = ()> + 'static {
        let (tally, request, address) = (Rc::clone(tally), self.request.clone(), self.address.clone());
        async move {
            let mut is_first = true;
            while !tally.is_over.get() {
                let begun = Instant::now();
                let reply = client.call(&request, &address).await;
                let latency = begun.elapsed();
                if reply.is_err() {
                    // A server that refuses at once would be asked for nothing else.
                    sleep(Duration::from_millis(10)).await;
                }
                tally.add(latency, begun.elapsed(), &reply, std::mem::take(&mut is_first));
            }
        }
    }
}

/// Checks Little's law: what is in flight is throughput × mean latency, which is the time that all callers have spent, by
/// the time that has passed.
///
/// # Errors
///
/// Returns an error if the measurement was cut, or the load was not what it should have been.
fn little(in_flight: usize, spent: Duration, elapsed: Duration) -> Result<(), BoxError> {
    let found = spent.as_secs_f64() / elapsed.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a number of callers")]
    let off = (found / in_flight as f64 - 1.0) * 100.0;
    if off.abs() > MARGIN {
        return Err(format!(
            "{found:.1} requests were in flight on average, in place of {in_flight}: {off:+.0} %; the load may lack \
             processor time"
        )
        .into());
    }
    Ok(())
}

/// Returns a client for each of so many callers, some of which share a connection.
///
/// # Errors
///
/// Returns an error if a connection is refused.
pub(crate) async fn clients(address: &str, request: &Request, callers: usize) -> Result<Vec<Client>, BoxError> {
    let connections = callers.div_ceil(CALLERS_PER_CONNECTION).max(CONNECTIONS.min(callers));
    let mut clients: Vec<Client> = Vec::with_capacity(callers);
    for caller in 0..callers {
        let shared = if caller < connections { None } else { clients[caller % connections].share() };
        clients.push(match shared {
            Some(client) => client,
            None => Client::connect(address, request).await?,
        });
    }
    Ok(clients)
}

// === impl Tally ===

impl Tally {
    fn new(callers: usize) -> Result<Self, BoxError> {
        Ok(Self {
            is_over: Cell::new(false),
            all_requests: Cell::new(0),
            waiting_for_first: Cell::new(callers),
            requests: Cell::new(0),
            bytes: Cell::new(0),
            failures: RefCell::default(),
            latencies: RefCell::new(Histogram::new_with_bounds(1_000, 60_000_000_000, 3)?),
            spent: Cell::default(),
            goal: Cell::new(u64::MAX),
            reached: Notify::new(),
        })
    }

    /// Begins again, with this many requests to end.
    fn reset(&self, goal: u64) {
        self.requests.set(0);
        self.bytes.set(0);
        self.failures.take();
        self.latencies.borrow_mut().reset();
        self.spent.set(Duration::ZERO);
        self.goal.set(goal);
    }

    fn add(&self, latency: Duration, spent: Duration, reply: &Result<usize, BoxError>, is_first: bool) {
        self.all_requests.set(self.all_requests.get() + 1);
        self.spent.set(self.spent.get() + spent);
        match reply {
            Ok(bytes) => {
                self.requests.set(self.requests.get() + 1);
                self.bytes.set(self.bytes.get() + *bytes as u64);
                let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
                self.latencies.borrow_mut().saturating_record(nanoseconds);
            }
            Err(error) => *self.failures.borrow_mut().entry(error.to_string()).or_default() += 1,
        }
        if is_first {
            self.waiting_for_first.set(self.waiting_for_first.get() - 1);
            if self.waiting_for_first.get() == 0 {
                self.reached.notify_one();
            }
        }
        match self.goal.get() {
            u64::MAX => {}
            0 | 1 => {
                self.goal.set(u64::MAX);
                self.reached.notify_one();
            }
            goal => self.goal.set(goal - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_cuts_most_requests_is_an_error() {
        let seconds = Duration::from_secs;
        assert!(little(10, seconds(20), seconds(2)).is_ok() && little(10, seconds(17), seconds(2)).is_ok());
        // 10,000 requests of which a sixth had replies within the time.
        let error = little(10_000, seconds(1_339), seconds(1)).unwrap_err().to_string();
        assert!(error.contains("1339.0") && error.contains("-87 %"), "{error}");
        assert!(little(10, seconds(25), seconds(2)).is_err());
    }

    #[tokio::test]
    async fn the_goal_is_reached_once() {
        let tally = Tally::new(2).unwrap();
        let add = |is_first| tally.add(Duration::ZERO, Duration::from_secs(1), &Ok(7), is_first);
        let is_reached = async || timeout(Duration::ZERO, tally.reached.notified()).await.is_ok();
        add(true);
        add(false);
        assert!(!is_reached().await);
        add(true);
        assert!(is_reached().await);
        tally.reset(2);
        add(false);
        assert!(!is_reached().await);
        tally.add(Duration::ZERO, Duration::from_secs(1), &Err("refused".into()), false);
        assert!(is_reached().await);
        add(false);
        assert!(!is_reached().await);
        assert_eq!((tally.requests.get(), tally.all_requests.get(), tally.spent.get()), (2, 6, Duration::from_secs(3)));
    }
}
