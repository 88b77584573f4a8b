//! The chain of spans that determines the root's end.
//!
//! The walk goes backwards from the root's end. At each instant it is in a span that the end waits for. It goes on in
//! the child that ended last until then; the time since is the span's own. When it has reached that child's start, it
//! looks for what ended before that. Where the order of times leaves a choice:
//!
//! * **A child that outlives its parent** was not waited for by it. It belongs to the nearest span above that ends after
//!   it, and when the walk has reached its start it goes on in the span that started it. If all spans above end
//!   before it, nobody waited for it. A server that goes on after its caller gave up counts up to that moment.
//! * **Back to back**: a child that ends when the next one starts was waited for, even if it ends up to a touch later.
//! * **A known need** (a link, a chain) comes before what ended later.
//! * **Of two parallel branches** that ended before a call, the later is not followed if it is known not to be needed
//!   (it has run beside that call in another trace) and the other is not. Otherwise it is, and the segment says that
//!   this is a guess. Calls that are made several times by one span are not told apart by this.

use std::collections::HashSet;

use super::{Input, children::time};
use crate::{
    analysis::needs::Need,
    call::Identity,
    closeness::{Interval, STICKS_OUT},
    evidence::Relation,
    span::SpanKind,
    trace::{SpanIndex, Trace},
};

/// A part of the critical path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Segment {
    /// The innermost span that the end waits for in this time.
    pub span: SpanIndex,
    /// The start in nanoseconds since the Unix epoch.
    pub start: u64,
    /// The end in nanoseconds since the Unix epoch.
    pub end: u64,
    /// Whether the spans leave no choice. If not, a parallel branch had ended too, and what came next may have waited
    /// for that one alone: nothing in this trace tells, and nothing in others was seen.
    pub certain: bool,
}

/// A span while the walk is in it.
struct Frame {
    span: SpanIndex,
    /// The start of its part of the path: its own start, unless that is before its parent's.
    from: u64,
    /// Up to where its time is not on the path yet.
    until: u64,
    /// The first candidate that was not looked at.
    next: usize,
    /// The child whose start is at `until`.
    successor: Option<SpanIndex>,
    certain: bool,
}

/// The spans that each span may have waited for, latest end first.
struct Candidates {
    spans: Vec<SpanIndex>,
    of: Vec<(u32, u32)>,
}

/// What is made more than once, with who makes it.
type Several = HashSet<(SpanIndex, Identity)>;

/// So far above a span that outlives its parent others are looked for that waited for it or ran when it started.
const CLIMBED: usize = 64;
/// So many candidates are looked at for one that was not passed by.
const LOOKED_AT: usize = 32;

/// Returns the critical path of a trace's root.
pub(super) fn of(input: &Input<'_>) -> Vec<Segment> {
    let trace = input.trace;
    let Some(root) = trace.root() else { return Vec::new() };
    let candidates = Candidates::of(trace);
    let several = several(input);
    let whole = time(trace, root);
    let (mut path, mut frames) = (Vec::new(), vec![Frame::new(root, whole, true)]);
    let mut visited = vec![false; trace.spans().len()];
    while let Some(frame) = frames.last_mut() {
        let Some((child, certain)) = candidates.choose(input, frame, &visited, &several) else {
            push(&mut path, frame.span, frame.from, frame.until, frame.certain);
            frames.pop();
            continue;
        };
        let inner = time(trace, child).within(Interval { start: frame.from, end: frame.until });
        let certain = certain && frame.certain;
        push(&mut path, frame.span, inner.end, frame.until, frame.certain);
        (frame.until, frame.successor) = (inner.start, Some(child));
        let starters = starters(trace, child, frame, certain, &visited);
        if let Some(outermost) = starters.first() {
            (frame.until, frame.successor) = (outermost.from, Some(outermost.span));
        }
        for span in starters.iter().map(|frame| frame.span).chain([child]) {
            visited[span.get()] = true;
        }
        frames.extend(starters);
        frames.push(Frame::new(child, inner, certain));
    }
    path.reverse();
    path
}

/// Returns the spans between a child and the span that waited for it, from the outermost: they started the child and
/// ended before it did, but ran at its start. The walk goes on in the innermost, and in each other one where the one within it has begun.
fn starters(trace: &Trace, child: SpanIndex, frame: &Frame, certain: bool, visited: &[bool]) -> Vec<Frame> {
    let between = std::iter::successors(trace.parent(child), |span| trace.parent(*span));
    let (mut from, until) = (frame.from, frame.until);
    let between = between.take_while(|span| *span != frame.span && !visited[span.get()]).take(CLIMBED);
    // One that had ended by then is looked for as any other.
    let mut between: Vec<_> = between.filter(|span| trace.span(*span).end >= until).collect();
    between.reverse();
    let mut starters: Vec<Frame> = Vec::with_capacity(between.len());
    for span in between {
        from = trace.span(span).start.clamp(from, until);
        if let Some(outer) = starters.last_mut() {
            (outer.until, outer.successor) = (from, Some(span));
        }
        let part = Interval { start: from, end: until };
        starters.push(Frame { successor: Some(child), ..Frame::new(span, part, certain) });
    }
    starters
}

/// Returns what each span makes more than once.
fn several(input: &Input<'_>) -> Several {
    let mut seen = HashSet::new();
    let mut several = Several::new();
    for parent in input.trace.indices() {
        let children = input.trace.children(parent);
        if children.len() > 1 {
            seen.clear();
            let identities = children.iter().map(|child| input.identities[child.get()]);
            several.extend(identities.filter(|identity| !seen.insert(*identity)).map(|identity| (parent, identity)));
        }
    }
    several
}

fn push(path: &mut Vec<Segment>, span: SpanIndex, start: u64, end: u64, certain: bool) {
    if start >= end {
        return;
    }
    match path.last_mut() {
        Some(last) if last.span == span && last.start == end => last.start = start,
        _ => path.push(Segment { span, start, end, certain }),
    }
}

// === impl Frame ===

impl Frame {
    fn new(span: SpanIndex, part: Interval, certain: bool) -> Self {
        Self { span, from: part.start, until: part.end, next: 0, successor: None, certain }
    }
}

// === impl Candidates ===

impl Candidates {
    fn of(trace: &Trace) -> Self {
        let mut waited: Vec<(SpanIndex, SpanIndex)> = Vec::with_capacity(trace.spans().len());
        // The nearest span above that ends later than the span itself.
        let mut above: Vec<Option<SpanIndex>> = vec![None; trace.spans().len()];
        for index in trace.indices() {
            let (span, mut up) = (trace.span(index), trace.parent(index));
            let is_cut =
                |parent: SpanIndex| span.kind == SpanKind::Server && trace.span(parent).kind == SpanKind::Client;
            let ends_before = |parent: SpanIndex| trace.span(parent).end.saturating_add(STICKS_OUT) < span.end;
            if let Some(parent) = up.filter(|parent| is_cut(*parent) || !ends_before(*parent)) {
                above[index.get()] = Some(parent);
                waited.push((parent, index));
                continue;
            }
            let mut climbed = 0;
            while let Some(parent) = up.filter(|parent| ends_before(*parent)) {
                climbed += 1;
                up = if climbed < CLIMBED { above[parent.get()] } else { None };
            }
            above[index.get()] = up;
            waited.extend(up.map(|parent| (parent, index)));
        }
        let key = |span: SpanIndex| std::cmp::Reverse((trace.span(span).end, trace.span(span).start, span));
        waited.sort_by_key(|(parent, child)| (*parent, key(*child)));
        let mut of = vec![(0, 0); trace.spans().len()];
        for (place, (parent, _)) in (0_u32..).zip(&waited) {
            let range = &mut of[parent.get()];
            *range = if range.1 == 0 { (place, place + 1) } else { (range.0, place + 1) };
        }
        Self { spans: waited.into_iter().map(|(_, child)| child).collect(), of }
    }

    /// Returns what the span waited for before `until`, and whether there was no choice.
    fn choose(
        &self,
        input: &Input<'_>,
        frame: &mut Frame,
        visited: &[bool],
        several: &Several,
    ) -> Option<(SpanIndex, bool)> {
        let trace = input.trace;
        let (from, to) = self.of[frame.span.get()];
        let candidates = &self.spans[from as usize..to as usize];
        if frame.until <= frame.from {
            return None;
        }
        // What ends after the successor's start was not waited for by it, nor by anything before it.
        let is_before = |span: &SpanIndex| {
            let next = Interval { start: frame.until, end: frame.until };
            let time = time(trace, *span);
            let is_before = frame.successor.is_none() || time.is_before(next);
            is_before && time.start < frame.until && !visited[span.get()]
        };
        while frame.next < candidates.len() && !is_before(&candidates[frame.next]) {
            frame.next += 1;
        }
        let rest = &candidates[frame.next..];
        let latest = *rest.first()?;
        let (skip, certain) = match frame.successor {
            None => (0, true),
            Some(successor) => choose_before(input, frame.span, successor, rest, several),
        };
        frame.next += skip + 1;
        let chosen = rest.get(skip).copied().unwrap_or(latest);
        Some((chosen, certain))
    }
}

/// Returns which of the candidates the successor has waited for, and whether there was no choice.
fn choose_before(
    input: &Input<'_>,
    parent: SpanIndex,
    successor: SpanIndex,
    rest: &[SpanIndex],
    several: &Several,
) -> (usize, bool) {
    let trace = input.trace;
    let looked_at = &rest[..rest.len().min(LOOKED_AT)];
    if let Some(needed) = needed(input, parent, successor)
        && let Some(at) = looked_at.iter().position(|span| *span == needed)
    {
        return (at, true);
    }
    let latest = time(trace, rest[0]);
    let is_parallel =
        |span: &SpanIndex| time(trace, *span).end > latest.start.saturating_add(STICKS_OUT.min(latest.nanos() / 10));
    let others = looked_at.iter().enumerate().skip(1).take_while(|(_, span)| is_parallel(span));
    let relation =
        |span: SpanIndex| input.relation(parent, input.identities[span.get()], input.identities[successor.get()]);
    let is_one = |span: SpanIndex| !several.contains(&(parent, input.identities[span.get()]));
    match relation(rest[0]) {
        Relation::Overlapped { .. } if !is_one(successor) || !is_one(rest[0]) => (0, others.count() == 0),
        Relation::AwaitedInTurn { .. } => (0, true),
        Relation::Overlapped { .. } => {
            let mut others = others.filter(|(_, span)| !matches!(relation(**span), Relation::Overlapped { .. }));
            others.next().map_or((0, rest.len() == 1 || !is_parallel(&rest[1])), |(at, _)| (at, true))
        }
        Relation::Unknown => (0, others.count() == 0),
    }
}

/// Returns the call that the successor is known to need; of several the one that ends last.
fn needed(input: &Input<'_>, parent: SpanIndex, successor: SpanIndex) -> Option<SpanIndex> {
    let needs = input.needs.under(parent);
    if needs.is_empty() {
        return None;
    }
    let calls = input.children.calls(parent);
    let start = time(input.trace, successor).start;
    // Several calls may start at one time.
    let from = calls.partition_point(|call| call.time.start < start);
    let place = from + calls[from..].iter().take(LOOKED_AT).position(|call| call.span == successor)?;
    let from = needs.partition_point(|need: &Need| need.later < place);
    let of_successor = needs[from..].iter().take_while(|need| need.later == place);
    of_successor.map(|need| calls[need.earlier]).max_by_key(|call| call.time.end).map(|call| call.span)
}
