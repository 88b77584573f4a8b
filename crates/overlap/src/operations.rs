//! Which operation would gain most by joining calls, over many traces.
//!
//! An operation is what a service does for one kind of request: its SERVER and CONSUMER spans of one name, and roots. To
//! it belongs what its own process does within it: a call to another service counts as one call, and what that service
//! could save is that one's.
//!
//! # How the figures are measured
//!
//! * `wall` and `avoidable` are percentiles over all requests seen, right to 1.6 %.
//! * The rate is what was seen: requests, less one, by the time from the first trace's start to the last one's. If only
//!   a part of the requests is traced, it is the rate of that part.
//! * `saved_per_day` extrapolates that: the avoidable time of all requests seen, by the time in which they were seen,
//!   for a day. It is the sum over all callers, not the shorter wait of one. Zero until ten requests of the operation have
//!   been seen: what three of them would save in a day is a guess.

mod finding;
mod histogram;

use std::{collections::HashMap, time::Duration};

pub use self::finding::Finding;
use self::{finding::Findings, histogram::Histogram};
use crate::{
    analysis::{Analysis, Certainty, Reason},
    call::is_entry,
    evidence::Evidence,
    forget::{Known, batch, forget},
    span::Text,
    trace::{SpanIndex, Trace},
};

/// Accumulates the verdicts on many traces, in bounded memory.
///
/// # Example
///
/// ```
/// # use overlap::{Analysis, Operations, Trace, TraceId};
/// # let traces: Vec<Trace> = vec![];
/// let mut operations = Operations::default();
/// for trace in &traces {
///     let analysis = Analysis::of(trace, operations.evidence());
///     operations.add(trace, &analysis);
/// }
/// for operation in operations.ranked() {
///     println!("{}", overlap::text::operation(&operation));
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Operations {
    /// By service and name.
    seen: HashMap<(Text, Text), Seen>,
    evidence: Evidence,
    limit: usize,
    dropped: u64,
    traces: u64,
    /// The starts of the first and the last trace.
    starts: Option<(u64, u64)>,
}

/// One operation: how long it takes, and what joining would save.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Operation {
    /// The service.
    pub service: Text,
    /// The name of its root or SERVER span.
    pub name: Text,
    /// How many requests were seen.
    pub count: u64,
    /// How many a day that is; see the [module](self).
    pub per_day: f64,
    /// How long they took.
    pub wall: Percentiles,
    /// How much shorter they would be.
    pub avoidable: Percentiles,
    /// What joining would save in a day, over all requests. Zero if too few were seen to say so.
    pub saved_per_day: Duration,
    /// How sure the finding that saves most is; [`Dependent`](Certainty::Dependent) if there is nothing to save.
    pub certainty: Certainty,
    /// Why.
    pub because: Reason,
    /// Sequences of calls that were seen, from the one that would save most.
    pub findings: Vec<Finding>,
}

/// Two percentiles of a duration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Percentiles {
    /// Half are no longer.
    pub p50: Duration,
    /// 95 of 100 are no longer.
    pub p95: Duration,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    count: u64,
    /// The numbers of the first and the last trace with such a request.
    first: u64,
    last: u64,
    wall: Histogram,
    avoidable: Histogram,
    findings: Findings,
}

/// So many operations are kept. Each takes from 1 to 40 KiB.
const LIMIT: usize = 1000;
/// From so many requests on a rate is told.
const COUNTED: u64 = 10;
const DAY: f64 = 86_400.0;

// === impl Operations ===

impl Default for Operations {
    fn default() -> Self {
        Self::with_limits(LIMIT, Evidence::default())
    }
}

impl Operations {
    /// Returns an accumulator of at most so many operations, which adds to this evidence. The default is 1,000. Above that,
    /// operations are forgotten that one trace alone has shown, then those that were not seen for longest. Their requests
    /// are counted as [`dropped`](Self::dropped).
    pub fn with_limits(operations: usize, evidence: Evidence) -> Self {
        Self { seen: HashMap::new(), evidence, limit: operations, dropped: 0, traces: 0, starts: None }
    }

    /// Adds a trace and its analysis, and what it shows about pairs of calls.
    ///
    /// Each trace should be added once, when it is complete: another time counts as another request.
    pub fn add(&mut self, trace: &Trace, analysis: &Analysis) {
        let Some(root) = trace.root() else { return };
        self.evidence.merge(analysis.evidence());
        self.traces += 1;
        let start = trace.span(root).start;
        let (first, last) = self.starts.unwrap_or((start, start));
        self.starts = Some((first.min(start), last.max(start)));

        let entries = entries(trace);
        for index in trace.indices().filter(|index| entries[index.get()] == *index) {
            let (wall, avoidable) = (trace.span(index).duration(), analysis.avoidable_within(index));
            if let Some(seen) = self.seen(key(trace, index)) {
                seen.count += 1;
                seen.wall.add(wall);
                seen.avoidable.add(avoidable);
            }
        }
        for fan_out in analysis.fan_outs() {
            // Unless a trace of very many operations has made it forgotten again.
            let Some(seen) = self.seen.get_mut(&key(trace, entries[fan_out.parent.get()])) else { continue };
            for sequence in fan_out.sequences.iter().filter(|sequence| !sequence.saves.is_zero()) {
                seen.findings.add(trace, analysis, fan_out.parent, sequence);
            }
        }
    }

    /// Adds what another accumulator has seen.
    pub fn merge(&mut self, other: &Self) {
        self.evidence.merge(&other.evidence);
        // Traces of the other are no traces of this one.
        let offset = self.traces;
        self.traces += other.traces;
        self.dropped += other.dropped;
        self.starts = match (self.starts, other.starts) {
            (Some((first, last)), Some((from, to))) => Some((first.min(from), last.max(to))),
            (one, other) => one.or(other),
        };
        for (key, theirs) in &other.seen {
            self.seen.entry(key.clone()).or_default().merge(theirs, offset);
        }
        // Not before all are there, so that their order makes no difference.
        self.forget(self.seen.len().saturating_sub(self.limit));
    }

    /// Returns what the traces have shown about pairs of calls: for the analysis of further ones.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// Returns the number of traces that were added.
    pub fn traces(&self) -> u64 {
        self.traces
    }

    /// Returns the number of requests of operations that were forgotten because the limit was reached.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Returns the time from the first trace's start to the last one's, by which rates are measured.
    pub fn observed(&self) -> Duration {
        let (first, last) = self.starts.unwrap_or_default();
        Duration::from_nanos(last - first)
    }

    /// Returns all operations, from the one of which joining would save most in a day. Findings are judged by all that
    /// is known by now.
    pub fn ranked(&self) -> Vec<Operation> {
        // The last request began when the time that was observed ended.
        let observed = self.observed().as_secs_f64();
        let others = self.traces.saturating_sub(1);
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
        let days = if observed > 0.0 { others as f64 / self.traces as f64 / observed * DAY } else { 0.0 };
        let mut ranked: Vec<(Duration, Operation)> = self
            .seen
            .iter()
            .map(|((service, name), seen)| (seen.avoidable.sum(), self.operation(service, name, seen, days)))
            .collect();
        ranked.sort_by(|(sum, one), (other_sum, other)| {
            let by_wall = || other.wall.p50.cmp(&one.wall.p50);
            let by_name = || (&one.service, &one.name).cmp(&(&other.service, &other.name));
            other_sum.cmp(sum).then_with(by_wall).then_with(by_name)
        });
        ranked.into_iter().map(|(_, operation)| operation).collect()
    }

    fn operation(&self, service: &Text, name: &Text, seen: &Seen, days: f64) -> Operation {
        let findings = seen.findings.judged(&self.evidence);
        let best = findings.first();
        let percentiles =
            |histogram: &Histogram| Percentiles { p50: histogram.percentile(50), p95: histogram.percentile(95) };
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
        let per_day = seen.count as f64 * days;
        let saved = if seen.count < COUNTED { 0.0 } else { seen.avoidable.sum().as_secs_f64() * days };
        Operation {
            service: service.clone(),
            name: name.clone(),
            count: seen.count,
            per_day,
            wall: percentiles(&seen.wall),
            avoidable: percentiles(&seen.avoidable),
            saved_per_day: Duration::try_from_secs_f64(saved).unwrap_or(Duration::MAX),
            certainty: best.map_or(Certainty::Dependent, |finding| finding.certainty),
            because: best.map_or(Reason::Nothing, |finding| finding.because),
            findings,
        }
    }

    /// Returns what was seen of an operation that the last trace shows, unless the limit is 0. Makes room if there is none.
    fn seen(&mut self, key: (Text, Text)) -> Option<&mut Seen> {
        if self.limit == 0 {
            self.dropped += 1;
            return None;
        }
        if self.seen.len() >= self.limit && !self.seen.contains_key(&key) {
            self.forget(batch(self.limit));
        }
        let seen = self.seen.entry(key).or_insert_with(|| Seen { first: self.traces, ..Seen::default() });
        seen.last = self.traces;
        Some(seen)
    }

    fn forget(&mut self, count: usize) {
        let forgotten = forget(&mut self.seen, count, Seen::known);
        self.dropped += forgotten.iter().map(|seen| seen.count).sum::<u64>();
    }
}

// === impl Seen ===

impl Seen {
    fn known(&self) -> Known {
        Known { again: self.first != self.last, last: self.last }
    }

    fn merge(&mut self, other: &Self, offset: u64) {
        if self.count == 0 {
            self.first = other.first + offset;
        }
        self.last = other.last + offset;
        self.count += other.count;
        self.wall.merge(&other.wall);
        self.avoidable.merge(&other.avoidable);
        self.findings.merge(&other.findings);
    }
}

/// Returns the service and the name of the operation that a span is a request of.
fn key(trace: &Trace, entry: SpanIndex) -> (Text, Text) {
    let span = trace.span(entry);
    (span.service.clone(), span.name.clone())
}

/// Returns for each span where its service's part of the trace begins.
fn entries(trace: &Trace) -> Vec<SpanIndex> {
    let mut entries: Vec<SpanIndex> = Vec::with_capacity(trace.spans().len());
    for index in trace.indices() {
        let parent = trace.parent(index);
        let entry = match parent {
            Some(parent) if !is_entry(trace.span(index), Some(trace.span(parent))) => entries[parent.get()],
            _ => index,
        };
        entries.push(entry);
    }
    entries
}
