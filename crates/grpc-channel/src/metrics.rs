//! What a backend's stack counts.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use opentelemetry::{KeyValue, global, metrics::Counter};
use tokio::sync::Semaphore;
use tower_resilience_circuitbreaker::CircuitState;

use crate::endpoints::set::EndpointSet;

/// The instruments of one backend. Clones share them; without an exporter they cost next to nothing.
#[derive(Clone, Debug)]
pub(crate) struct Metrics(Arc<Instruments>);

#[derive(Debug)]
struct Instruments {
    backend: KeyValue,
    retries: Counter<u64>,
    refused_retries: Counter<u64>,
    hedges: Counter<u64>,
    shed: Counter<u64>,
    rejected: Counter<u64>,
    coalesced: Counter<u64>,
    queued: Arc<AtomicU64>,
}

/// Counts a call as queued for as long as it is kept. A clone of the call is not queued itself.
#[derive(Debug, Default)]
pub(crate) struct QueuedGuard(Option<Arc<AtomicU64>>);

// === impl Metrics ===

impl Metrics {
    pub(crate) fn new(backend: impl Into<Arc<str>>) -> Self {
        let meter = global::meter("fanout");
        let counter = |name: &'static str, description: &'static str| {
            meter.u64_counter(name).with_description(description).build()
        };
        let instruments = Instruments {
            backend: KeyValue::new("fanout.backend", backend.into()),
            retries: counter("fanout.backend.retries", "Calls that were sent again after a failure"),
            refused_retries: counter("fanout.backend.retries_refused", "Retries that the budget did not pay for"),
            hedges: counter("fanout.backend.hedges", "Calls that were sent a second time beside a first that was late"),
            shed: counter("fanout.backend.shed", "Calls refused because as many as allowed were in flight"),
            rejected: counter("fanout.backend.breaker.rejected", "Calls refused because the circuit breaker was open"),
            coalesced: counter("fanout.backend.coalesced", "Calls that shared the answer of one in flight"),
            queued: Arc::default(),
        };
        // A series that began with the first event would hide it: a rate needs a value before.
        for counter in [
            &instruments.retries,
            &instruments.refused_retries,
            &instruments.shed,
            &instruments.rejected,
            &instruments.coalesced,
        ] {
            counter.add(0, std::slice::from_ref(&instruments.backend));
        }
        let (queued, attribute) = (Arc::clone(&instruments.queued), instruments.backend.clone());
        let _ = meter
            .u64_observable_gauge("fanout.backend.queued")
            .with_description("Calls that wait for a replica")
            .with_callback(move |gauge| gauge.observe(queued.load(Ordering::Relaxed), std::slice::from_ref(&attribute)))
            .build();
        Self(Arc::new(instruments))
    }

    /// Shows how many permits of this many are in use.
    pub(crate) fn watch_in_flight(&self, permits: Arc<Semaphore>, max: usize) {
        let attribute = self.0.backend.clone();
        let _ = global::meter("fanout")
            .u64_observable_gauge("fanout.backend.in_flight")
            .with_description("Calls in flight, waiting included")
            .with_callback(move |gauge| {
                let used = max.saturating_sub(permits.available_permits());
                gauge.observe(used as u64, std::slice::from_ref(&attribute));
            })
            .build();
    }

    /// Shows the breaker's state: 0 closed, 1 half open, 2 open.
    pub(crate) fn watch_breaker(&self, state: impl Fn() -> CircuitState + Send + Sync + 'static) {
        let attribute = self.0.backend.clone();
        let _ = global::meter("fanout")
            .u64_observable_gauge("fanout.backend.breaker.state")
            .with_description("The circuit breaker: 0 closed, 1 half open, 2 open")
            .with_callback(move |gauge| {
                let value = match state() {
                    CircuitState::Closed => 0,
                    CircuitState::HalfOpen => 1,
                    CircuitState::Open => 2,
                };
                gauge.observe(value, std::slice::from_ref(&attribute));
            })
            .build();
    }

    /// Shows how many replicas are in which state, and how many connections there are.
    pub(crate) fn watch_replicas(&self, set: &Arc<EndpointSet>) {
        let (attribute, watched) = (self.0.backend.clone(), Arc::clone(set));
        let meter = global::meter("fanout");
        let _ = meter
            .u64_observable_gauge("fanout.backend.replicas")
            .with_description("Replicas by state")
            .with_callback(move |gauge| {
                for (state, number) in watched.count_by_state() {
                    gauge.observe(number, &[attribute.clone(), KeyValue::new("state", state)]);
                }
            })
            .build();
        let (attribute, watched) = (self.0.backend.clone(), Arc::clone(set));
        let _ = meter
            .u64_observable_gauge("fanout.backend.connections")
            .with_description("Open connections")
            .with_callback(move |gauge| gauge.observe(watched.connections(), std::slice::from_ref(&attribute)))
            .build();
    }

    pub(crate) fn retried(&self) {
        self.0.retries.add(1, std::slice::from_ref(&self.0.backend));
    }

    pub(crate) fn retry_refused(&self) {
        self.0.refused_retries.add(1, std::slice::from_ref(&self.0.backend));
    }

    /// A hedge that ended, and whether it won.
    pub(crate) fn hedged(&self, won: bool) {
        let outcome = KeyValue::new("outcome", if won { "won" } else { "lost" });
        self.0.hedges.add(1, &[self.0.backend.clone(), outcome]);
    }

    pub(crate) fn shed(&self) {
        self.0.shed.add(1, std::slice::from_ref(&self.0.backend));
    }

    pub(crate) fn rejected(&self) {
        self.0.rejected.add(1, std::slice::from_ref(&self.0.backend));
    }

    pub(crate) fn coalesced(&self) {
        self.0.coalesced.add(1, std::slice::from_ref(&self.0.backend));
    }

    /// Counts a call as queued from here on.
    pub(crate) fn wait(&self) -> QueuedGuard {
        self.0.queued.fetch_add(1, Ordering::Relaxed);
        QueuedGuard(Some(Arc::clone(&self.0.queued)))
    }
}

// === impl QueuedGuard ===

impl Clone for QueuedGuard {
    fn clone(&self) -> Self {
        Self(None)
    }
}

impl Drop for QueuedGuard {
    fn drop(&mut self) {
        if let Some(queued) = &self.0 {
            queued.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
