//! The verdict on one trace.

pub(crate) mod children;
mod critical_path;
mod fan_out;
mod needs;
mod saving;
mod sequence;
mod steps;

use std::time::Duration;

pub(crate) use self::steps::FOLLOWED;
use self::{children::Children, needs::Needs, saving::Savings};
pub use self::{
    critical_path::Segment,
    fan_out::{FanOut, Overlap},
    sequence::{Certainty, Reason, Repeated, Sequence},
};
use crate::{
    call::Identity,
    evidence::{Evidence, Relation},
    trace::{SpanIndex, Trace},
};

/// The verdict on one trace: how the calls of each span overlapped, what determined the end, and what joining would
/// still save.
#[derive(Clone, Debug)]
pub struct Analysis {
    fan_outs: Vec<FanOut>,
    critical_path: Vec<Segment>,
    savings: Savings,
    avoidable: Duration,
    ignored_steps: usize,
    /// What the trace itself shows about pairs of calls.
    own: Evidence,
    identities: Vec<Identity>,
}

/// What the parts of the analysis read.
pub(crate) struct Input<'a> {
    pub(crate) trace: &'a Trace,
    pub(crate) children: &'a Children,
    pub(crate) identities: &'a [Identity],
    pub(crate) needs: &'a Needs,
    /// What other traces have shown, and this one.
    pub(crate) evidence: [&'a Evidence; 2],
}

// === impl Analysis ===

impl Analysis {
    /// Analyses a trace. What it shows about pairs of calls counts in addition to the evidence of other traces.
    ///
    /// Takes `n log n` steps for `n` spans.
    pub fn of(trace: &Trace, evidence: &Evidence) -> Self {
        let children = Children::of(trace);
        let identities: Vec<_> = trace.spans().iter().map(Identity::of).collect();
        let mut own = Evidence::default();
        own.add_children(trace, &children, &identities);
        let needs = Needs::of(trace, &children);
        let input =
            Input { trace, children: &children, identities: &identities, needs: &needs, evidence: [evidence, &own] };
        let fan_outs = trace.indices().filter_map(|parent| FanOut::of(&input, parent)).collect();
        let savings = Savings::of(&input);
        let avoidable = trace.root().map(|root| savings.total(root)).unwrap_or_default();
        let critical_path = critical_path::of(&input);
        let ignored_steps = needs.ignored_steps();
        Self { fan_outs, critical_path, savings, avoidable, ignored_steps, own, identities }
    }

    /// Returns one entry for each span with calls, in the order of the spans.
    ///
    /// A span whose only call is one that contains calls (a handler whose work is all in one function) has none: the
    /// inner span's says it.
    pub fn fan_outs(&self) -> &[FanOut] {
        &self.fan_outs
    }

    /// Returns the fan-out of this span.
    pub fn fan_out(&self, parent: SpanIndex) -> Option<&FanOut> {
        let place = self.fan_outs.binary_search_by_key(&parent, |fan_out| fan_out.parent).ok()?;
        Some(&self.fan_outs[place])
    }

    /// Returns the chain of spans that determines the root's end, from its start to its end without gaps: at each
    /// instant the innermost span that the end waited for.
    pub fn critical_path(&self) -> &[Segment] {
        &self.critical_path
    }

    /// Returns how much shorter the root would be if all calls in the trace that are not known to need one another were
    /// made together.
    pub fn avoidable(&self) -> Duration {
        self.avoidable
    }

    /// Returns how much shorter this span would be if the calls that its own process makes within it were made
    /// together, as far as they are not known to need one another. What other processes could save is not counted.
    pub fn avoidable_within(&self, span: SpanIndex) -> Duration {
        self.savings.own(span)
    }

    /// Returns how many steps of the attribute `fanout.chains` were not read: a call may follow calls of at most 64
    /// different names. What they say is not known, so more may seem avoidable than is.
    pub fn ignored_steps(&self) -> usize {
        self.ignored_steps
    }

    /// Returns what the trace itself shows about pairs of calls.
    pub fn evidence(&self) -> &Evidence {
        &self.own
    }

    pub(crate) fn identity(&self, span: SpanIndex) -> Identity {
        self.identities[span.get()]
    }

    /// Returns what overlapping saved, summed over all fan-outs.
    pub fn saved(&self) -> Duration {
        self.fan_outs.iter().map(|fan_out| fan_out.saved).sum()
    }
}

// === impl Input ===

impl Input<'_> {
    /// Returns what is known about two calls under a parent, of which the second ran after the first.
    pub(crate) fn relation(&self, parent: SpanIndex, first: Identity, second: Identity) -> Relation {
        let parent = self.identities[parent.get()];
        let [others, own] = self.evidence.map(|evidence| evidence.relation(parent, first, second));
        match (others, own) {
            (Relation::Overlapped { traces: others }, Relation::Overlapped { traces: own }) => {
                Relation::Overlapped { traces: others.max(own) }
            }
            (Relation::Overlapped { .. }, _) => others,
            (_, Relation::Overlapped { .. }) => own,
            // One trace alone does not make an "always", but it can end one: its calls overlap, or they are in turn.
            _ => others,
        }
    }
}
