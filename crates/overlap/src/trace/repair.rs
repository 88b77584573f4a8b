//! From any spans to a forest: ids that are unique, parents that exist, no cycles.

use std::collections::{HashMap, hash_map::Entry};

use super::{SpanIndex, problem::Problems};
use crate::{
    ProblemKind,
    span::{Span, SpanId, SpanKind, Text, TraceId},
};

/// Spans whose parents are among them, without cycles.
pub(super) struct Forest {
    pub(super) spans: Vec<Span>,
    pub(super) parents: Vec<Option<usize>>,
    /// Whether the span had a parent that is not there.
    pub(super) orphans: Vec<bool>,
}

pub(super) fn repair(id: TraceId, mut spans: Vec<Span>, problems: &mut Problems) -> Forest {
    if let Some(extra) = spans.get(u32::MAX as usize..).filter(|extra| !extra.is_empty()) {
        for span in extra {
            problems.note(ProblemKind::TooManySpans, span.span_id);
        }
        spans.truncate(u32::MAX as usize);
    }
    for span in &mut spans {
        if span.trace_id != id {
            problems.note(ProblemKind::OtherTrace, span.span_id);
            span.trace_id = id;
        }
        if span.end < span.start {
            problems.note(ProblemKind::NegativeDuration, span.span_id);
            span.end = span.start;
        }
    }
    let spans = with_unique_ids(spans, problems);
    let (mut parents, orphans) = parents(&spans, problems);
    cut_cycles(&spans, &mut parents, problems);
    Forest { spans, parents, orphans }
}

/// Gives an id to spans without, separates the two sides of a call that share one, and drops other duplicates.
fn with_unique_ids(spans: Vec<Span>, problems: &mut Problems) -> Vec<Span> {
    let mut kept: Vec<Span> = Vec::with_capacity(spans.len());
    let mut places: HashMap<SpanId, usize> = HashMap::with_capacity(spans.len());
    // The server's spans that had their client's id: the service and the new id.
    let mut servers: HashMap<SpanId, (Text, SpanId)> = HashMap::new();
    let mut left = Vec::new();
    let mut unused = Unused::default();
    for span in spans {
        if span.span_id.is_zero() {
            left.push(span);
            continue;
        }
        match places.entry(span.span_id) {
            Entry::Vacant(vacant) => {
                vacant.insert(kept.len());
                kept.push(span);
            }
            Entry::Occupied(place) => {
                let there = &mut kept[*place.get()];
                match (there.kind, span.kind) {
                    (SpanKind::Client, SpanKind::Server) => left.push(span),
                    (SpanKind::Server, SpanKind::Client) => left.push(std::mem::replace(there, span)),
                    _ => {
                        problems.note(ProblemKind::DuplicateId, span.span_id);
                        if span.nanos() >= there.nanos() {
                            *there = span;
                        }
                    }
                }
            }
        }
    }
    for mut span in left {
        let client = span.span_id;
        if let Some((_, server)) = servers.get(&client) {
            problems.note(ProblemKind::DuplicateId, client);
            let there = &mut kept[places[server]];
            if span.nanos() >= there.nanos() {
                (span.span_id, span.parent) = (*server, Some(client));
                *there = span;
            }
            continue;
        }
        span.span_id = unused.id(client, &places);
        if client.is_zero() {
            problems.note(ProblemKind::NoId, span.span_id);
        } else {
            problems.note(ProblemKind::SharedId, span.span_id);
            servers.insert(client, (span.service.clone(), span.span_id));
            span.parent = Some(client);
        }
        places.insert(span.span_id, kept.len());
        kept.push(span);
    }
    // What the server's process did named the shared id as its parent.
    for span in &mut kept {
        if let Some((service, server)) = span.parent.and_then(|parent| servers.get(&parent))
            && *service == span.service
            && span.span_id != *server
        {
            span.parent = Some(*server);
        }
    }
    kept
}

/// Ids that no span has, the same for the same spans.
#[derive(Default)]
struct Unused {
    /// How many were looked at from the middle on. No id is looked at twice, so that it takes no longer than there are
    /// spans, whatever their ids.
    looked_at: u64,
}

const MIDDLE: u64 = 1 << 63;

impl Unused {
    /// Returns an id in place of this one: the one across from it if nobody has that.
    fn id(&mut self, id: SpanId, places: &HashMap<SpanId, usize>) -> SpanId {
        let is_unused = |id: &SpanId| !id.is_zero() && !places.contains_key(id);
        let across = SpanId((u64::from_be_bytes(id.0) ^ MIDDLE).to_be_bytes());
        if !id.is_zero() && is_unused(&across) {
            return across;
        }
        loop {
            let next = SpanId(MIDDLE.wrapping_add(self.looked_at).to_be_bytes());
            self.looked_at += 1;
            if is_unused(&next) {
                return next;
            }
        }
    }
}

fn parents(spans: &[Span], problems: &mut Problems) -> (Vec<Option<usize>>, Vec<bool>) {
    let places: HashMap<SpanId, usize> = spans.iter().enumerate().map(|(place, span)| (span.span_id, place)).collect();
    let mut orphans = vec![false; spans.len()];
    let mut parent = |(place, span): (usize, &Span)| {
        let parent = span.parent.filter(|parent| !parent.is_zero())?;
        let found = places.get(&parent).copied();
        if found.is_none() {
            problems.note(ProblemKind::MissingParent, span.span_id);
            orphans[place] = true;
        }
        found
    };
    let parents = spans.iter().enumerate().map(&mut parent).collect();
    (parents, orphans)
}

/// Makes a root of the span that starts first in each cycle.
fn cut_cycles(spans: &[Span], parents: &mut [Option<usize>], problems: &mut Problems) {
    // The walk that has seen a span; 0 if none has.
    let mut seen = vec![0_usize; spans.len()];
    for from in 0..spans.len() {
        let walk = from + 1;
        let mut at = from;
        while seen[at] == 0 {
            seen[at] = walk;
            match parents[at] {
                Some(parent) => at = parent,
                None => break,
            }
        }
        if seen[at] != walk || parents[at].is_none() {
            continue;
        }
        // `at` was met twice in this walk: it is on a cycle.
        let (mut first, mut next) = (at, at);
        while let Some(parent) = parents[next] {
            problems.note(ProblemKind::Cycle, spans[next].span_id);
            next = parent;
            if (spans[next].start, spans[next].span_id) < (spans[first].start, spans[first].span_id) {
                first = next;
            }
            if next == at {
                break;
            }
        }
        parents[first] = None;
    }
}

/// Returns the spans' places depth first, siblings and roots by start, then by end from the longest, then by id.
pub(super) fn depth_first(spans: &[Span], parents: &[Option<usize>]) -> Vec<usize> {
    let mut by_start: Vec<usize> = (0..spans.len()).collect();
    by_start.sort_by_key(|place| {
        let span = &spans[*place];
        (span.start, std::cmp::Reverse(span.end), span.span_id)
    });
    // Lists of siblings: prepended from the last, so that the first is on top.
    let (mut first_child, mut next_sibling) = (vec![None; spans.len()], vec![None; spans.len()]);
    let mut first_root = None;
    for place in by_start.into_iter().rev() {
        let first = parents[place].map_or(&mut first_root, |parent| &mut first_child[parent]);
        next_sibling[place] = first.replace(place);
    }
    let mut order = Vec::with_capacity(spans.len());
    let mut stack: Vec<usize> = first_root.into_iter().collect();
    while let Some(place) = stack.pop() {
        order.push(place);
        stack.extend(next_sibling[place]);
        stack.extend(first_child[place]);
    }
    order
}

/// Moves each span to its place.
pub(super) fn permute(spans: &mut [Span], places: &mut [SpanIndex]) {
    for at in 0..spans.len() {
        while places[at].get() != at {
            let to = places[at].get();
            spans.swap(at, to);
            places.swap(at, to);
        }
    }
}
