//! Sequences of the same calls, over many traces.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use crate::{
    analysis::{Analysis, Certainty, Reason, Sequence},
    call::Identity,
    evidence::{Evidence, Relation},
    span::Text,
    trace::{SpanIndex, Trace},
};

/// Calls that ran one after another in requests of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Finding {
    /// The name of the span that makes the calls.
    pub parent: Text,
    /// The names of the different calls, in the order in which each is first made; at most 16.
    pub calls: Vec<Text>,
    /// How often such a sequence was seen.
    pub count: u64,
    /// How many calls it had at most.
    pub most: usize,
    /// How long it took on average.
    pub took: Duration,
    /// How long it would take together on average.
    pub together: Duration,
    /// What joining would have saved, summed over all requests seen.
    pub saves: Duration,
    /// Whether later calls need earlier ones.
    pub certainty: Certainty,
    /// What shows it.
    pub because: Reason,
    /// The name of the call that is made again and again, and how often at most.
    pub repeated: Option<(Text, usize)>,
}

/// The findings of one operation, at most [`LIMIT`].
#[derive(Clone, Debug, Default)]
pub(super) struct Findings(HashMap<u64, Seen>);

#[derive(Clone, Debug)]
struct Seen {
    parent: Identity,
    calls: Vec<Identity>,
    /// With sums in place of averages.
    finding: Finding,
}

/// So many different sequences are kept for each operation.
const LIMIT: usize = 32;
/// So many different calls of a sequence are kept.
const CALLS: usize = 16;

// === impl Findings ===

impl Findings {
    pub(super) fn add(&mut self, trace: &Trace, analysis: &Analysis, parent: SpanIndex, sequence: &Sequence) {
        let mut calls: Vec<(Identity, SpanIndex)> = Vec::new();
        for call in &sequence.calls {
            let identity = analysis.identity(*call);
            if calls.len() < CALLS && !calls.iter().any(|(known, _)| *known == identity) {
                calls.push((identity, *call));
            }
        }
        let name = |span: SpanIndex| trace.span(span).name.clone();
        let (identities, spans): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
        let seen = Seen {
            parent: analysis.identity(parent),
            calls: identities,
            finding: Finding {
                parent: name(parent),
                calls: spans.into_iter().map(name).collect(),
                count: 1,
                most: sequence.calls.len(),
                took: sequence.took,
                together: sequence.together,
                saves: sequence.saves,
                certainty: sequence.certainty,
                because: sequence.because,
                repeated: sequence.repeated.map(|repeated| (name(repeated.call), repeated.times)),
            },
        };
        self.put(seen);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for seen in other.0.values() {
            self.put(seen.clone());
        }
    }

    /// Returns the findings, judged by what is known by now, from the one that would save most.
    pub(super) fn judged(&self, evidence: &Evidence) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self.0.values().map(|seen| seen.judged(evidence)).collect();
        findings.sort_by(|one, other| other.saves.cmp(&one.saves).then_with(|| one.calls.cmp(&other.calls)));
        findings
    }

    fn put(&mut self, new: Seen) {
        let key = new.key();
        if let Some(seen) = self.0.get_mut(&key) {
            seen.finding.merge(&new.finding);
        } else if self.0.len() < LIMIT {
            self.0.insert(key, new);
        } else if let Some((least, _)) = self.0.iter().min_by_key(|(key, seen)| (seen.finding.saves, **key)) {
            // Those that save least make room, if they save less than the new one.
            let least = *least;
            if self.0.get(&least).is_some_and(|seen| seen.finding.saves < new.finding.saves) {
                self.0.remove(&least);
                self.0.insert(key, new);
            }
        }
    }
}

// === impl Seen ===

impl Seen {
    fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.parent, &self.calls).hash(&mut hasher);
        hasher.finish()
    }

    fn judged(&self, evidence: &Evidence) -> Finding {
        let mut finding = self.finding.clone();
        let average = |sum: Duration| sum.div_f64(count(finding.count));
        (finding.took, finding.together) = (average(finding.took), average(finding.together));
        if finding.certainty == Certainty::Unknown
            && finding.calls.len() < CALLS
            && let Some(traces) = self.overlapped(evidence)
        {
            (finding.certainty, finding.because) = (Certainty::Independent, Reason::Overlapped { traces });
        }
        finding
    }

    /// Returns in how many traces all pairs of the calls have run at the same time.
    fn overlapped(&self, evidence: &Evidence) -> Option<u32> {
        let mut least = None;
        let repeats = self.finding.most > self.calls.len();
        if repeats && self.calls.len() > 1 {
            // Others than these may have overlapped.
            return None;
        }
        for (place, first) in self.calls.iter().enumerate() {
            let others = if repeats { &self.calls[place..] } else { &self.calls[place + 1..] };
            for second in others {
                let Relation::Overlapped { traces } = evidence.relation(self.parent, *first, *second) else {
                    return None;
                };
                least = Some(least.map_or(traces, |least: u32| least.min(traces)));
            }
        }
        least
    }
}

#[expect(clippy::cast_precision_loss, reason = "an average needs no 53 bits")]
fn count(count: u64) -> f64 {
    count.max(1) as f64
}

// === impl Finding ===

impl Finding {
    fn merge(&mut self, new: &Self) {
        self.count += new.count;
        self.most = self.most.max(new.most);
        self.took += new.took;
        self.together += new.together;
        self.saves += new.saves;
        let is_overlap = |finding: &Self| matches!(finding.because, Reason::Overlapped { .. });
        let is_without = |finding: &Self| finding.because == Reason::WithoutParameters;
        // What has overlapped stays independent. What one request read without parameters another may have read with them:
        // calls that differ in their query only are the same call. Otherwise the later verdict knows more.
        if !is_overlap(self) && (is_overlap(new) || is_without(self) || !is_without(new)) {
            (self.certainty, self.because) = (new.certainty, new.because);
        }
        if let Some((_, times)) = &new.repeated
            && self.repeated.as_ref().is_none_or(|(_, most)| most < times)
        {
            self.repeated.clone_from(&new.repeated);
        }
    }
}
