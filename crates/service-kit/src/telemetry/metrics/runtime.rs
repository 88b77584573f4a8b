//! Metrics of the tokio runtime.

use std::sync::Arc;

use opentelemetry::{KeyValue, metrics::Meter};
use tokio::runtime::{Handle, RuntimeMetrics};

/// The index of a worker thread.
const WORKER: &str = "tokio.worker.index";

/// Observes the metrics of a runtime. They are read only when they are exported.
pub(super) fn observe(meter: &Meter, runtime: &Handle) {
    let gauge = |name: &'static str, unit: &'static str, what: &'static str, read: fn(&RuntimeMetrics) -> usize| {
        let figures = runtime.metrics();
        let callback = move |gauge: &dyn opentelemetry::metrics::AsyncInstrument<u64>| {
            gauge.observe(read(&figures) as u64, &[]);
        };
        let _ = meter.u64_observable_gauge(name).with_unit(unit).with_description(what).with_callback(callback).build();
    };
    gauge("tokio.runtime.workers", "{thread}", "Worker threads of the runtime", RuntimeMetrics::num_workers);
    gauge("tokio.runtime.alive_tasks", "{task}", "Tasks that have not ended", RuntimeMetrics::num_alive_tasks);
    gauge(
        "tokio.runtime.global_queue_depth",
        "{task}",
        "Tasks that are ready and wait in the queue of all workers",
        RuntimeMetrics::global_queue_depth,
    );

    let figures = runtime.metrics();
    // By worker: a busy one beside idle ones is blocked.
    let workers: Arc<[KeyValue]> =
        (0_i64..).take(figures.num_workers()).map(|index| KeyValue::new(WORKER, index)).collect();
    let (busy, busy_workers) = (figures.clone(), Arc::clone(&workers));
    let _ = meter
        .f64_observable_counter("tokio.runtime.worker.busy_time")
        .with_unit("s")
        .with_description("Time that a worker thread was not parked")
        .with_callback(move |counter| {
            for (index, worker) in busy_workers.iter().enumerate() {
                let time = busy.worker_total_busy_duration(index).as_secs_f64();
                counter.observe(time, std::slice::from_ref(worker));
            }
        })
        .build();
    let _ = meter
        .u64_observable_counter("tokio.runtime.worker.parks")
        .with_unit("{park}")
        .with_description("How often a worker thread was parked for lack of work")
        .with_callback(move |counter| {
            for (index, worker) in workers.iter().enumerate() {
                counter.observe(figures.worker_park_count(index), std::slice::from_ref(worker));
            }
        })
        .build();
}
