//! The state that the running calls share: times, and the signal to stop.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::FutureExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Span, field};

use crate::{
    label::Label,
    outcome::CallError,
    report::{CallReport, CallState, CallTime, Report},
    strategy::{FailurePolicy, Strategy},
};

/// Watches the calls of one fan-out.
#[derive(Debug)]
pub struct Recorder {
    strategy: Strategy,
    policy: FailurePolicy,
    begun: Instant,
    stop: CancellationToken,
    calls: Mutex<Vec<Record>>,
}

#[derive(Debug)]
struct Record {
    label: Label,
    chain: u32,
    progress: Progress,
}

#[derive(Clone, Copy, Debug)]
enum Progress {
    Waiting,
    Running { since: Instant },
    Ended { state: CallState, since: Instant, at: Instant },
}

/// Ends a call's record when the call's future is dropped before its end.
struct Running<'a> {
    recorder: &'a Recorder,
    index: usize,
    ended: bool,
}

/// Puts the figures into the span when the fan-out is over, dropped half-way included,
/// and stops the calls that still run then.
pub(crate) struct Finish {
    recorder: Arc<Recorder>,
    span: Span,
    reported: bool,
}

// === impl Recorder ===

impl Recorder {
    pub(crate) fn new(strategy: Strategy, policy: FailurePolicy) -> Self {
        let (begun, stop) = (Instant::now(), CancellationToken::new());
        Self { strategy, policy, begun, stop, calls: Mutex::default() }
    }

    /// Makes room for exactly so many calls.
    pub(crate) fn reserve(&self, calls: usize) {
        self.calls().reserve_exact(calls);
    }

    /// Adds a call to the report, and returns its index there. Without a chain it is one
    /// of its own.
    pub(crate) fn declare(&self, label: Label, chain: Option<u32>) -> usize {
        let mut calls = self.calls();
        let index = calls.len();
        // More than four thousand million calls do not fit into memory.
        let chain = chain.unwrap_or_else(|| u32::try_from(index).unwrap_or(u32::MAX));
        calls.push(Record { label, chain, progress: Progress::Waiting });
        index
    }

    /// The span of a fan-out of this width; the figures come when it ends.
    pub(crate) fn span(&self, width: usize) -> Span {
        tracing::info_span!(
            "fan_out",
            "fanout.strategy" = self.strategy.as_str(),
            "fanout.width" = width,
            "fanout.wall_ms" = field::Empty,
            "fanout.saved_ms" = field::Empty,
            "fanout.avoidable_ms" = field::Empty,
        )
    }

    /// Runs a call to its end, or until the fan-out stops.
    pub(crate) async fn run<T, E>(
        &self,
        index: usize,
        future: impl Future<Output = Result<T, E>>,
    ) -> Result<T, CallError<E>> {
        if self.stop.is_cancelled() {
            return Err(self.skip(index));
        }
        let running = self.start(index);
        // A panic is the call's failure. Nothing of the call is used after it, so no
        // broken state can be seen.
        let future = AssertUnwindSafe(future).catch_unwind();
        let Some(result) = self.stop.run_until_cancelled(future).await else {
            return Err(CallError::Cancelled); // `running` notes the end
        };
        let result = match result {
            Ok(result) => result.map_err(CallError::Failed),
            Err(panic) => Err(CallError::Panicked(panic_message(&*panic))),
        };
        running.end(if result.is_ok() { CallState::Ok } else { CallState::Failed });
        if result.is_err() && self.policy == FailurePolicy::FailFast {
            self.stop.cancel();
        }
        result
    }

    /// Leaves a call out: its record stays without a time.
    pub(crate) fn skip<E>(&self, index: usize) -> CallError<E> {
        debug_assert!(matches!(self.calls()[index].progress, Progress::Waiting));
        CallError::Skipped
    }

    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// The report as it is now: a call that still runs counts as cancelled.
    pub(crate) fn report(&self) -> Report {
        let now = Instant::now();
        let calls = self.calls().iter().map(|record| record.report(self.begun, now)).collect();
        Report::new(self.strategy, calls)
    }

    fn start(&self, index: usize) -> Running<'_> {
        self.calls()[index].progress = Progress::Running { since: Instant::now() };
        Running { recorder: self, index, ended: false }
    }

    fn end(&self, index: usize, state: CallState) {
        let mut calls = self.calls();
        if let Progress::Running { since } = calls[index].progress {
            calls[index].progress = Progress::Ended { state, since, at: Instant::now() };
        }
    }

    fn calls(&self) -> MutexGuard<'_, Vec<Record>> {
        // Nothing in here can panic between two changes that belong together.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

// === impl Record ===

impl Record {
    fn report(&self, begun: Instant, now: Instant) -> CallReport {
        let time = |since: Instant, at: Instant| CallTime { start: since - begun, duration: at - since };
        let (state, time) = match self.progress {
            Progress::Waiting => (CallState::Skipped, None),
            Progress::Running { since } => (CallState::Cancelled, Some(time(since, now))),
            Progress::Ended { state, since, at } => (state, Some(time(since, at))),
        };
        let Label { name, method, attempts } = self.label.clone();
        let (hedges, hedge_won) = attempts.as_ref().map_or((0, false), |sent| (sent.hedges(), sent.is_hedge_won()));
        let attempts = attempts.map_or(u32::from(time.is_some()), |attempts| attempts.get());
        CallReport { name, method, state, time, attempts, hedges, hedge_won, critical: false, chain: self.chain }
    }
}

// === impl Running ===

impl Running<'_> {
    fn end(mut self, state: CallState) {
        self.recorder.end(self.index, state);
        self.ended = true;
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.recorder.end(self.index, CallState::Cancelled);
        }
    }
}

// === impl Finish ===

impl Finish {
    pub(crate) fn new(recorder: Arc<Recorder>, span: Span) -> Self {
        Self { recorder, span, reported: false }
    }

    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// The report of a fan-out that ran to its end.
    pub(crate) fn report(mut self) -> Report {
        self.reported = true;
        let report = self.recorder.report();
        record(&self.span, &report);
        report
    }
}

impl Drop for Finish {
    fn drop(&mut self) {
        if !self.reported {
            self.recorder.stop();
            record(&self.span, &self.recorder.report());
        }
    }
}

fn record(span: &Span, report: &Report) {
    if span.is_disabled() {
        return;
    }
    let ms = |duration: std::time::Duration| duration.as_secs_f64() * 1e3;
    span.record("fanout.wall_ms", ms(report.wall));
    span.record("fanout.saved_ms", ms(report.saved));
    span.record("fanout.avoidable_ms", ms(report.avoidable));
}
