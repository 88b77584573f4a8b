//! Metrics of the tokio runtimes, one for each thread that serves.

use std::sync::Arc;

use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Meter},
};
use tokio::runtime::{Handle, RuntimeMetrics};

use crate::workers::Workers;

/// The index of a worker thread.
const WORKER: &str = "tokio.worker.index";

/// Observes the metrics of the workers' runtimes. They are read only when they are exported.
pub(super) fn observe(meter: &Meter, workers: &Workers) {
    let runtimes: Arc<[RuntimeMetrics]> = workers.runtimes().map(Handle::metrics).collect();
    let gauge = |name: &'static str, unit: &'static str, what: &'static str, read: fn(&RuntimeMetrics) -> usize| {
        let runtimes = Arc::clone(&runtimes);
        let callback = move |gauge: &dyn AsyncInstrument<u64>| {
            gauge.observe(runtimes.iter().map(read).sum::<usize>() as u64, &[]);
        };
        let _ = meter.u64_observable_gauge(name).with_unit(unit).with_description(what).with_callback(callback).build();
    };
    gauge("tokio.runtime.workers", "{thread}", "Worker threads", RuntimeMetrics::num_workers);
    gauge("tokio.runtime.alive_tasks", "{task}", "Tasks that have not ended", RuntimeMetrics::num_alive_tasks);
    gauge(
        "tokio.runtime.global_queue_depth",
        "{task}",
        "Tasks that other threads have woken, and that wait for their worker",
        RuntimeMetrics::global_queue_depth,
    );

    // By worker: a busy one beside idle ones is blocked.
    let by_worker: Arc<[(KeyValue, RuntimeMetrics)]> =
        (0_i64..).map(|index| KeyValue::new(WORKER, index)).zip(runtimes.iter().cloned()).collect();
    let busy = Arc::clone(&by_worker);
    let _ = meter
        .f64_observable_counter("tokio.runtime.worker.busy_time")
        .with_unit("s")
        .with_description("Time that a worker thread was not parked")
        .with_callback(move |counter| {
            for (worker, runtime) in busy.iter() {
                let time = runtime.worker_total_busy_duration(0).as_secs_f64();
                counter.observe(time, std::slice::from_ref(worker));
            }
        })
        .build();
    let _ = meter
        .u64_observable_counter("tokio.runtime.worker.parks")
        .with_unit("{park}")
        .with_description("How often a worker thread was parked for lack of work")
        .with_callback(move |counter| {
            for (worker, runtime) in by_worker.iter() {
                counter.observe(runtime.worker_park_count(0), std::slice::from_ref(worker));
            }
        })
        .build();
}
