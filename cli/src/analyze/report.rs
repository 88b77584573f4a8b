//! What was found: the traces with their analysis, and their operations.

use std::{cmp::Reverse, collections::HashMap, time::Duration};

use overlap::{Analysis, Certainty, Evidence, Operation, Operations, Sequence, Span, SpanIndex, Trace, split};
use trace_formats::to_overlap;

use super::{
    args::AnalyzeArgs,
    error::AnalyzeError,
    input::{Failure, Inputs},
};

/// Everything that is shown.
pub struct Report<'a> {
    pub(super) inputs: &'a Inputs,
    /// In the order of the inputs.
    pub(super) traces: Vec<Analyzed>,
    /// From the one of which joining would save most.
    pub(super) operations: Vec<Operation>,
    pub(super) dropped: Dropped,
    pub(super) max_avoidable: Option<Duration>,
    limit: usize,
}

/// What was forgotten, because memory is bounded.
#[derive(Clone, Copy)]
pub struct Dropped {
    /// Requests of operations that are not among [`Report::operations`].
    pub(super) requests: u64,
    /// Pairs of calls, of which what traces have shown does not count.
    pub(super) pairs: u64,
}

/// A trace and its analysis.
pub struct Analyzed {
    pub(super) trace: Trace,
    pub(super) analysis: Analysis,
}

/// The ids that are named if none is as it should be.
const MAX_IDS: usize = 3;

// === impl Report ===

impl<'a> Report<'a> {
    /// Analyses the traces of all inputs.
    ///
    /// # Errors
    ///
    /// Returns an error if there are none, or none with the id that is asked for.
    pub(super) fn new(inputs: &'a Inputs, args: &AnalyzeArgs) -> Result<Self, AnalyzeError> {
        let decoded = inputs.list.iter().filter_map(|input| input.result.as_ref().ok());
        let traces = split(decoded.flat_map(|decoded| to_overlap(&decoded.spans)).collect());
        if traces.is_empty() {
            let failure = inputs.failure().unwrap_or(Failure::Data);
            return Err(AnalyzeError::NoTraces { inputs: inputs.describe(), failure });
        }
        // What all traces show counts for each, also if only one is shown.
        let mut evidence = Evidence::default();
        for trace in &traces {
            evidence.add(trace);
        }
        let prefix = args.trace.as_ref().map(|prefix| prefix.0.as_str());
        let is_shown = |trace: &Trace| prefix.is_none_or(|prefix| trace.id().to_string().starts_with(prefix));
        if let Some(prefix) = prefix.filter(|_| !traces.iter().any(is_shown)) {
            let mut known: Vec<_> = traces.iter().take(MAX_IDS).map(|trace| trace.id().to_string()).collect();
            if traces.len() > MAX_IDS {
                known.push(format!("{} more", traces.len() - MAX_IDS));
            }
            return Err(AnalyzeError::UnknownTrace { prefix: prefix.to_owned(), known: known.join(", ") });
        }
        let mut operations = Operations::default();
        let mut analyzed = Vec::new();
        for trace in traces.into_iter().filter(is_shown) {
            let analysis = Analysis::of(&trace, &evidence);
            operations.add(&trace, &analysis);
            analyzed.push(Analyzed { trace, analysis });
        }
        let dropped = Dropped { requests: operations.dropped(), pairs: evidence.dropped() };
        let (operations, max_avoidable) = (operations.ranked(), args.max_avoidable);
        Ok(Self { inputs, traces: analyzed, operations, dropped, max_avoidable, limit: args.limit() })
    }

    /// Returns the operations that are shown.
    pub(super) fn shown(&self) -> &[Operation] {
        &self.operations[..self.limit.min(self.operations.len())]
    }

    /// Returns the worst trace of each operation that is shown, each once.
    pub(super) fn worst(&self) -> Vec<&Analyzed> {
        let mut worst: HashMap<(&str, &str), (Duration, Reverse<usize>)> = HashMap::new();
        for operation in self.shown() {
            worst.insert((&operation.service, &operation.name), (Duration::ZERO, Reverse(usize::MAX)));
        }
        for (place, Analyzed { trace, analysis }) in self.traces.iter().enumerate() {
            for index in trace.indices() {
                let span = trace.span(index);
                if let Some(known) = worst.get_mut(&(&*span.service, &*span.name)) {
                    *known = (*known).max((analysis.avoidable_within(index), Reverse(place)));
                }
            }
        }
        let mut places = Vec::new();
        for operation in self.shown() {
            let (_, Reverse(place)) = worst[&(&*operation.service, &*operation.name)];
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places.into_iter().filter_map(|place| self.traces.get(place)).collect()
    }

    /// Returns the trace that the picture shows: the worst one.
    pub(super) fn picture(&self) -> Option<&Analyzed> {
        self.traces.iter().max_by_key(|trace| trace.analysis.avoidable())
    }

    /// Returns whether this is more than is allowed.
    pub(super) fn exceeds(&self, avoidable: Duration) -> bool {
        self.max_avoidable.is_some_and(|most| avoidable > most)
    }

    /// Returns the traces above the limit, the worst first.
    pub(super) fn traces_above(&self) -> Vec<&Analyzed> {
        let mut above: Vec<_> = self.traces.iter().filter(|trace| self.exceeds(trace.analysis.avoidable())).collect();
        above.sort_by_key(|trace| Reverse(trace.analysis.avoidable()));
        above
    }

    /// Returns the operations above the limit, in their order.
    pub(super) fn operations_above(&self) -> Vec<&Operation> {
        self.operations.iter().filter(|operation| self.exceeds(operation.avoidable.p95)).collect()
    }

    /// Returns whether any trace or operation is above the limit.
    pub(super) fn is_exceeded(&self) -> bool {
        self.traces.iter().any(|trace| self.exceeds(trace.analysis.avoidable())) || !self.operations_above().is_empty()
    }
}

// === impl Analyzed ===

impl Analyzed {
    /// Returns the span that stands for the whole.
    pub(super) fn root(&self) -> Option<&Span> {
        self.trace.root().map(|root| self.trace.span(root))
    }

    /// Returns how long the whole took.
    pub(super) fn wall(&self) -> Duration {
        self.root().map(Span::duration).unwrap_or_default()
    }

    /// Returns a span as it is named in text.
    pub(super) fn label(&self, span: SpanIndex) -> String {
        let span = self.trace.span(span);
        format!("{}: {}", span.service, span.name)
    }

    /// Returns a span as drawings name it: a method of gRPC without its package.
    pub(super) fn short_label(&self, span: SpanIndex) -> String {
        let span = self.trace.span(span);
        let short = span.name.split_once('/').filter(|(_, method)| !method.contains('/') && !span.name.contains(' '));
        let name = match short.and_then(|(service, method)| Some((service.rsplit_once('.')?.1, method))) {
            Some((service, method)) => format!("{service}/{method}"),
            None => span.name.to_string(),
        };
        format!("{}: {name}", span.service)
    }

    /// Returns how the whole is named in text.
    pub(super) fn title(&self) -> String {
        self.trace.root().map_or_else(|| "an empty trace".to_owned(), |root| self.label(root))
    }

    /// Returns the sequences that joining would shorten, with the span that makes the calls; those that save the most
    /// first.
    pub(super) fn sequences(&self) -> Vec<(SpanIndex, &Sequence)> {
        let all =
            self.analysis.fan_outs().iter().flat_map(|it| it.sequences.iter().map(|sequence| (it.parent, sequence)));
        let mut found: Vec<_> = all
            .filter(|(_, sequence)| !sequence.saves.is_zero() && sequence.certainty != Certainty::Dependent)
            .collect();
        found.sort_by_key(|(_, sequence)| Reverse(sequence.saves));
        found
    }
}
