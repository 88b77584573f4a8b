//! What a channel counts.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Meter},
};

/// The instruments of one backend. Clones share them. Without a meter nothing is counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics(Option<Arc<Instruments>>);

#[derive(Debug)]
struct Instruments {
    meter: Meter,
    backend: KeyValue,
    retries: Counter<u64>,
    refused_retries: Counter<u64>,
    hedges: Counter<u64>,
    shed: Counter<u64>,
    rejected: Counter<u64>,
    coalesced: Counter<u64>,
    queued: Arc<AtomicU64>,
}

/// Counts a call as queued until it is dropped. A clone of the call is not queued itself.
#[derive(Debug, Default)]
pub(crate) struct QueuedGuard(Option<Arc<AtomicU64>>);

// === impl Metrics ===

impl Metrics {
    /// Creates the instruments of the backend `name` with this meter.
    pub(crate) fn new(name: impl Into<Arc<str>>, meter: Option<Meter>) -> Self {
        Self(meter.map(|meter| Arc::new(Instruments::new(&KeyValue::new("fanout.backend", name.into()), meter))))
    }

    /// Returns the meter that the channel was given.
    pub(crate) fn meter(&self) -> Option<&Meter> {
        self.0.as_deref().map(|instruments| &instruments.meter)
    }

    /// Reports how many calls are in flight.
    pub(crate) fn watch_in_flight(&self, in_flight: impl Fn() -> usize + Send + Sync + 'static) {
        self.gauge("fanout.backend.in_flight", "Calls in flight, waiting included", move || in_flight() as u64);
    }

    /// Reports the breaker's state: 0 closed, 1 half open, 2 open.
    pub(crate) fn watch_breaker(&self, state: impl Fn() -> u64 + Send + Sync + 'static) {
        self.gauge("fanout.backend.breaker.state", "The circuit breaker: 0 closed, 1 half open, 2 open", state);
    }

    /// Reports how many connections are open.
    pub(crate) fn watch_connections(&self, connections: impl Fn() -> u64 + Send + Sync + 'static) {
        self.gauge("fanout.backend.connections", "Open connections", connections);
    }

    /// Reports how many replicas are in each state.
    pub(crate) fn watch_replicas<const N: usize>(
        &self,
        count: impl Fn() -> [(&'static str, u64); N] + Send + Sync + 'static,
    ) {
        let Some(instruments) = &self.0 else { return };
        let backend = instruments.backend.clone();
        let _ = instruments
            .meter
            .u64_observable_gauge("fanout.backend.replicas")
            .with_description("Replicas by state")
            .with_callback(move |gauge| {
                for (state, number) in count() {
                    gauge.observe(number, &[backend.clone(), KeyValue::new("state", state)]);
                }
            })
            .build();
    }

    /// Counts a call that is sent again after a failure.
    pub(crate) fn retried(&self) {
        self.count(|instruments| &instruments.retries);
    }

    /// Counts a retry that the budget did not allow.
    pub(crate) fn retry_refused(&self) {
        self.count(|instruments| &instruments.refused_retries);
    }

    /// Counts a hedge that ended, by whether its reply was the first.
    pub(crate) fn hedged(&self, won: bool) {
        if let Some(instruments) = &self.0 {
            let outcome = KeyValue::new("outcome", if won { "won" } else { "lost" });
            instruments.hedges.add(1, &[instruments.backend.clone(), outcome]);
        }
    }

    /// Counts a call that was rejected because as many as allowed were in flight.
    pub(crate) fn shed(&self) {
        self.count(|instruments| &instruments.shed);
    }

    /// Counts a call that was rejected because the circuit breaker was open.
    pub(crate) fn rejected(&self) {
        self.count(|instruments| &instruments.rejected);
    }

    /// Counts a call that shared the reply of another one in flight.
    pub(crate) fn coalesced(&self) {
        self.count(|instruments| &instruments.coalesced);
    }

    /// Counts a call as queued until the guard is dropped.
    pub(crate) fn queued(&self) -> QueuedGuard {
        let queued = self.0.as_ref().map(|instruments| Arc::clone(&instruments.queued));
        if let Some(queued) = &queued {
            queued.fetch_add(1, Ordering::Relaxed);
        }
        QueuedGuard(queued)
    }

    fn count(&self, counter: impl Fn(&Instruments) -> &Counter<u64>) {
        if let Some(instruments) = &self.0 {
            counter(instruments).add(1, std::slice::from_ref(&instruments.backend));
        }
    }

    fn gauge(&self, name: &'static str, description: &'static str, value: impl Fn() -> u64 + Send + Sync + 'static) {
        if let Some(instruments) = &self.0 {
            instruments.gauge(name, description, value);
        }
    }
}

// === impl Instruments ===

impl Instruments {
    fn new(backend: &KeyValue, meter: Meter) -> Self {
        let counter = |name: &'static str, description: &'static str| {
            let counter = meter.u64_counter(name).with_description(description).build();
            // A series that began with the first event would hide it: a rate needs a value before.
            counter.add(0, std::slice::from_ref(backend));
            counter
        };
        let hedges = "Calls that were sent a second time beside a first that was late";
        let instruments = Self {
            retries: counter("fanout.backend.retries", "Calls that were sent again after a failure"),
            refused_retries: counter("fanout.backend.retries_refused", "Retries that the budget did not allow"),
            hedges: meter.u64_counter("fanout.backend.hedges").with_description(hedges).build(),
            shed: counter("fanout.backend.shed", "Calls rejected because as many as allowed were in flight"),
            rejected: counter("fanout.backend.breaker.rejected", "Calls rejected because the circuit breaker was open"),
            coalesced: counter("fanout.backend.coalesced", "Calls that shared the reply of one in flight"),
            queued: Arc::default(),
            backend: backend.clone(),
            meter,
        };
        let queued = Arc::clone(&instruments.queued);
        instruments
            .gauge("fanout.backend.queued", "Calls that wait for a replica", move || queued.load(Ordering::Relaxed));
        instruments
    }

    fn gauge(&self, name: &'static str, description: &'static str, value: impl Fn() -> u64 + Send + Sync + 'static) {
        let backend = self.backend.clone();
        let _ = self
            .meter
            .u64_observable_gauge(name)
            .with_description(description)
            .with_callback(move |gauge| gauge.observe(value(), std::slice::from_ref(&backend)))
            .build();
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
