//! Certificates and the authority that are replaced under load.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use e2e::{certificates::Authority, wait::within};
use serde_json::Value;
use tokio::{sync::watch, task::JoinSet};

use crate::{caller::Caller, fleet::Fleet};

/// How many callers call without a pause.
const CALLERS: usize = 4;

/// How many calls there are after each step.
const CALLS: usize = 100;

/// How long a connection lives.
const CONNECTION_AGE: &str = "300ms";

/// Callers without a pause, each with connections of its own.
struct Load {
    calls: watch::Sender<usize>,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<BTreeMap<String, usize>>,
}

// === impl Load ===

impl Load {
    fn start(fleet: &Fleet, trusted: &str) -> Self {
        let (calls, stop) = (watch::Sender::new(0), Arc::<AtomicBool>::default());
        let mut tasks = JoinSet::new();
        for _ in 0..CALLERS {
            let caller = Caller::connect(&fleet.gateway.url(), &fleet.client("caller", trusted));
            let (calls, stop) = (calls.clone(), Arc::clone(&stop));
            tasks.spawn(async move {
                let mut outcomes = BTreeMap::new();
                while !stop.load(Ordering::Relaxed) {
                    let outcome = caller.call().await.map_or_else(|status| status.to_string(), |()| "OK".to_owned());
                    *outcomes.entry(outcome).or_default() += 1;
                    calls.send_modify(|calls| *calls += 1);
                }
                outcomes
            });
        }
        Self { calls, stop, tasks }
    }

    /// Waits until the gateway has connected to each backend again, twice, and there were many calls.
    async fn go_on(&self, fleet: &Fleet) {
        let mut calls = self.calls.subscribe();
        let goal = *calls.borrow() + CALLS;
        let log = &fleet.gateway.service.log;
        for backend in &fleet.backends {
            let is_connected =
                |line: &Value| line["message"] == "replica is ready" && line["replica"] == backend.service.address();
            log.wait_for_number(log.count(is_connected) + 2, "new connections", is_connected).await;
        }
        within("calls", calls.wait_for(|calls| *calls >= goal)).await.unwrap();
    }

    /// Stops the callers. Returns how often each outcome was observed.
    async fn stop(mut self) -> BTreeMap<String, usize> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = BTreeMap::new();
        while let Some(outcomes) = within("the last calls", self.tasks.join_next()).await {
            for (outcome, times) in outcomes.unwrap() {
                *all.entry(outcome).or_default() += times;
            }
        }
        all
    }
}

/// Gives every service a certificate of this signer, and authorities to trust. Waits until all have noticed.
async fn replace(fleet: &mut Fleet, signer: &Authority, trusted: &str, is_requested: bool) {
    for secured in fleet.services() {
        let log = &secured.service.log;
        let is_change = |line: &Value| line["message"] == "new certificates are in use";
        // The gateway notices as a server and as a client.
        let goal = log.count(is_change) + if secured.name == "gateway" { 2 } else { 1 };
        secured.secret.replace(&signer.sign_service(secured.name), trusted);
        if is_requested {
            secured.service.hang_up();
        }
        log.wait_for_number(goal, "new certificates are in use", is_change).await;
    }
}

/// The authority of the services is replaced in the three steps in which that is possible: both are trusted, then the certificates are of
/// the new one, then only that one is trusted. Connections live for a moment only, so that there are new ones all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_the_authority_is_replaced() {
    let mut fleet = Fleet::start(&["--max-connection-age", CONNECTION_AGE]);
    let new = Authority::new("new");
    let old = std::mem::replace(&mut fleet.authority, Authority::new("unused"));
    let (both, clients) = (format!("{}{}", old.pem, new.pem), fleet.clients.pem.clone());
    let load = Load::start(&fleet, &both);
    load.go_on(&fleet).await;
    replace(&mut fleet, &old, &format!("{both}{clients}"), false).await;
    load.go_on(&fleet).await;
    replace(&mut fleet, &new, &format!("{both}{clients}"), true).await;
    load.go_on(&fleet).await;
    replace(&mut fleet, &new, &format!("{}{clients}", new.pem), false).await;
    load.go_on(&fleet).await;
    let outcomes = load.stop().await;
    println!("{outcomes:?}");
    assert_eq!(outcomes.keys().collect::<Vec<_>>(), ["OK"], "{outcomes:?}");

    // The new certificates are in use: who trusts the old authority only trusts nobody.
    let late = Caller::connect(&fleet.gateway.url(), &fleet.client("caller", &old.pem));
    let status = within("a call", late.call()).await.unwrap_err();
    assert!(status.message().contains("its certificate is from an unknown authority"), "{status:?}");
}
