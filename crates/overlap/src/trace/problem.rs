//! What was wrong with the spans of a trace, in words.

use std::fmt;

use super::{SpanIndex, Trace};
use crate::{
    closeness::Interval,
    span::{SpanId, SpanKind},
    text::{duration, number},
};

/// Something that was repaired, or that the reader of the figures should know. One for each kind, with the number of
/// spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What it is.
    pub kind: ProblemKind,
    /// How many spans it concerns.
    pub spans: usize,
    /// The first of them; `None` if it is no longer in the trace.
    pub first: Option<SpanIndex>,
    text: String,
}

/// A kind of [`Problem`], in the order in which they are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum ProblemKind {
    /// More spans than can be numbered.
    TooManySpans,
    /// Spans with another trace's id.
    OtherTrace,
    /// Spans with an id of zeros.
    NoId,
    /// Several spans with one id.
    DuplicateId,
    /// The client's and the server's span have one id.
    SharedId,
    /// The end is before the start.
    NegativeDuration,
    /// The parent is not in the trace.
    MissingParent,
    /// Spans that are their own ancestors.
    Cycle,
    /// A process whose clock differs from its caller's.
    ClockSkew,
    /// Spans that start before their parent.
    StartsBeforeParent,
    /// Spans that end after their parent.
    EndsAfterParent,
}

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Found>);

#[derive(Debug)]
struct Found {
    kind: ProblemKind,
    spans: usize,
    first: SpanId,
    /// By how much, for kinds that have an amount: that of the first.
    amount: u64,
}

// === impl Problems ===

impl Problems {
    pub(super) fn note(&mut self, kind: ProblemKind, span: SpanId) {
        self.note_amount(kind, span, 0);
    }

    pub(super) fn note_amount(&mut self, kind: ProblemKind, span: SpanId, amount: u64) {
        match self.0.iter_mut().find(|found| found.kind == kind) {
            Some(found) => found.spans += 1,
            None => self.0.push(Found { kind, spans: 1, first: span, amount }),
        }
    }

    pub(super) fn finish(mut self, trace: &Trace) -> Vec<Problem> {
        self.0.sort_by_key(|found| found.kind);
        self.0.iter().map(|found| found.describe(trace)).collect()
    }
}

// === impl Found ===

impl Found {
    fn describe(&self, trace: &Trace) -> Problem {
        let first = trace.find(self.first);
        let name = first.map_or_else(
            || self.first.to_string(),
            |first| format!("{}: {}", trace.span(first).service, trace.span(first).name),
        );
        let one = self.spans == 1;
        let spans = if one { "1 span".to_owned() } else { format!("{} spans", number(self.spans as u64)) };
        let such = if one { format!("({name})") } else { format!("(the first is {name})") };
        let say = |singular: &str, plural: &str| format!("{spans} {such} {}", if one { singular } else { plural });
        let text = match self.kind {
            ProblemKind::TooManySpans => format!("{spans} {such} left out: a trace holds at most {}", u32::MAX),
            ProblemKind::OtherTrace => say(
                "has the id of another trace; it is read as this one's",
                "have the id of another trace; they are read as this one's",
            ),
            ProblemKind::NoId => say("has no id; it gets one", "have no id; they get one"),
            ProblemKind::DuplicateId => say(
                "has the id of another one; the longer of the two is kept",
                "have the id of another one; the longest is kept",
            ),
            ProblemKind::SharedId => say(
                "shares its id with the client's; it becomes the client's child",
                "share their id with the client's; they become the client's children",
            ),
            ProblemKind::NegativeDuration => {
                say("ends before it starts; it takes no time", "end before they start; they take no time")
            }
            ProblemKind::MissingParent => say(
                "has a parent that is not in the trace; it is shown as a root",
                "have a parent that is not in the trace; they are shown as roots",
            ),
            ProblemKind::Cycle => say(
                "is its own ancestor; it is shown as a root",
                "are their own ancestors; each cycle is cut where it starts first",
            ),
            ProblemKind::ClockSkew => {
                let by = duration(std::time::Duration::from_nanos(self.amount));
                say(
                    &format!("is outside of the call that it answers, so the clocks differ; it is moved by {by}"),
                    &format!(
                        "are outside of the calls that they answer, so the clocks differ; the first is moved by {by}"
                    ),
                )
            }
            ProblemKind::StartsBeforeParent => say(
                "starts before its parent; its time counts from the parent's start",
                "start before their parents; their time counts from the parent's start",
            ),
            ProblemKind::EndsAfterParent => say(
                "ends after its parent; its time counts up to the parent's end",
                "end after their parents; their time counts up to the parent's end",
            ),
        };
        Problem { kind: self.kind, spans: self.spans, first, text }
    }
}

/// Notes the spans that start before their parent or end after it. Messages are handled later by their nature.
pub(super) fn note_what_sticks_out(trace: &Trace, problems: &mut Problems) {
    for index in trace.indices() {
        let Some(parent) = trace.parent(index) else { continue };
        let (span, parent) = (trace.span(index), trace.span(parent));
        if span.kind == SpanKind::Consumer || parent.kind == SpanKind::Producer {
            continue;
        }
        let (part, whole) = (Interval::of(span), Interval::of(parent));
        if part.starts_before(whole) {
            problems.note(ProblemKind::StartsBeforeParent, span.span_id);
        }
        if part.ends_after(whole) {
            problems.note(ProblemKind::EndsAfterParent, span.span_id);
        }
    }
}

// === impl Problem ===

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Problem {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
