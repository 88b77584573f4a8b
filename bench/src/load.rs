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
use tokio::{
    task::LocalSet,
    time::{Instant, sleep},
};

use crate::{BoxError, client::Client, process::Process, request::Request};

/// How many callers share a connection at most.
const CALLERS_PER_CONNECTION: usize = 100;
/// How many connections there are at least, if there are as many callers: a service has more callers than one.
const CONNECTIONS: usize = 8;

/// How long the load goes on before it is measured: a part of the time of the measurement.
const WARM_UP: u32 = 4;

/// How long a caller waits for its last reply.
const LAST: Duration = Duration::from_secs(15);

/// What is put under load.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) address: String,
    pub(crate) request: Request,
    pub(crate) in_flight: usize,
    pub(crate) time: Duration,
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) requests: u64,
    pub(crate) failures: BTreeMap<String, u64>,
    pub(crate) elapsed: Duration,
    /// Of the process.
    pub(crate) processor_time: Duration,
    /// In nanoseconds.
    pub(crate) latencies: Histogram<u64>,
    /// How many bytes the messages of a reply have, on average.
    pub(crate) reply_bytes: u64,
}

#[derive(Debug)]
struct Tally {
    is_over: Cell<bool>,
    requests: Cell<u64>,
    bytes: Cell<u64>,
    failures: RefCell<BTreeMap<String, u64>>,
    latencies: RefCell<Histogram<u64>>,
}

// === impl Load ===

impl Load {
    /// Puts the process under load and measures it.
    ///
    /// # Errors
    ///
    /// Returns an error if it refuses connections, or if it ends.
    pub(crate) async fn measure(&self, process: &Process) -> Result<Measured, BoxError> {
        LocalSet::new().run_until(self.measure_locally(process)).await
    }

    async fn measure_locally(&self, process: &Process) -> Result<Measured, BoxError> {
        let tally = Rc::new(Tally::new()?);
        let callers: Vec<_> = clients(&self.address, &self.request, self.in_flight)
            .await?
            .into_iter()
            .map(|client| self.caller(client, &tally))
            .collect();
        let callers = callers.into_iter().map(tokio::task::spawn_local).collect::<Vec<_>>();
        sleep(self.time / WARM_UP).await;
        let (begun, used) = (Instant::now(), process.processor_time()?);
        tally.reset();
        sleep(self.time).await;
        let measured = Measured {
            elapsed: begun.elapsed(),
            processor_time: process.processor_time()?.saturating_sub(used),
            requests: tally.requests.get(),
            failures: tally.failures.take(),
            latencies: tally.latencies.borrow().clone(),
            reply_bytes: tally.bytes.get() / tally.requests.get().max(1),
        };
        tally.is_over.set(true);
        tokio::time::timeout(LAST, join_all(callers))
            .await
            .map_err(|_| format!("a request at {} has had no reply for {} s", self.address, LAST.as_secs()))?;
        Ok(measured)
    }

    fn caller(&self, mut client: Client, tally: &Rc<Tally>) -> impl Future<Output = ()> + 'static {
        let (tally, request, address) = (Rc::clone(tally), self.request.clone(), self.address.clone());
        async move {
            while !tally.is_over.get() {
                let begun = Instant::now();
                let reply = client.call(&request, &address).await;
                tally.add(begun.elapsed(), &reply);
                if reply.is_err() {
                    // A server that refuses at once would be asked for nothing else.
                    sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }
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
    fn new() -> Result<Self, BoxError> {
        Ok(Self {
            is_over: Cell::new(false),
            requests: Cell::new(0),
            bytes: Cell::new(0),
            failures: RefCell::default(),
            latencies: RefCell::new(Histogram::new_with_bounds(1_000, 60_000_000_000, 3)?),
        })
    }

    fn reset(&self) {
        self.requests.set(0);
        self.bytes.set(0);
        self.failures.take();
        self.latencies.borrow_mut().reset();
    }

    fn add(&self, latency: Duration, reply: &Result<usize, BoxError>) {
        match reply {
            Ok(bytes) => {
                self.requests.set(self.requests.get() + 1);
                self.bytes.set(self.bytes.get() + *bytes as u64);
                let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
                self.latencies.borrow_mut().saturating_record(nanoseconds);
            }
            Err(error) => *self.failures.borrow_mut().entry(error.to_string()).or_default() += 1,
        }
    }
}
