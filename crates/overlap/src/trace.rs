//! The spans of one trace as a forest that is sound whatever was received.
//!
//! [`Trace::new`] never fails. What it had to repair is in [`Trace::problems`], in words. In this order:
//!
//! 1. An id of zeros gets an id. A span that carries another trace's id is taken as this trace's.
//! 2. Two spans with one id: a CLIENT and a SERVER span are the two sides of one call, as Zipkin writes them, and the
//!    server's becomes the client's child. Of others the longest stays, and the later one of equals.
//! 3. A span that ends before it starts takes no time.
//! 4. A span whose parent is not there is a root. Parents that form a cycle are cut at the span that starts first.
//! 5. A SERVER span outside of the CLIENT span that it answers shows that two clocks differ: it is moved, with what it
//!    contains in its process.
//! 6. Spans that start before their parent or end after it keep their times. Figures count what is within.

mod index;
mod problem;
mod repair;
mod skew;

use std::collections::HashMap;

pub use self::{
    index::SpanIndex,
    problem::{Problem, ProblemKind},
};
use crate::span::{Span, SpanId, TraceId};

/// The spans of one trace: a forest in the order in which a waterfall shows it.
#[derive(Clone, Debug)]
pub struct Trace {
    id: TraceId,
    /// In depth-first order; siblings by start.
    spans: Vec<Span>,
    parents: Vec<Option<SpanIndex>>,
    depths: Vec<u32>,
    /// The children of all spans, one span's after the other's.
    children: Vec<SpanIndex>,
    /// Where each span's children begin in `children`; one more than there are spans.
    first_child: Vec<u32>,
    roots: Vec<SpanIndex>,
    main_root: Option<SpanIndex>,
    by_id: HashMap<SpanId, SpanIndex>,
    problems: Vec<Problem>,
}

/// Sorts spans into traces, in the order in which each trace is first seen.
pub fn split(spans: Vec<Span>) -> Vec<Trace> {
    let mut places = HashMap::new();
    let mut traces: Vec<(TraceId, Vec<Span>)> = Vec::new();
    for span in spans {
        let place = *places.entry(span.trace_id).or_insert_with(|| {
            traces.push((span.trace_id, Vec::new()));
            traces.len() - 1
        });
        traces[place].1.push(span);
    }
    traces.into_iter().map(|(id, spans)| Trace::new(id, spans)).collect()
}

// === impl Trace ===

impl Trace {
    /// Makes a trace of these spans, in any order. Repairs what is wrong; see the [module](self).
    ///
    /// Takes `n log n` steps for `n` spans. At most 2^32 - 1 spans are kept.
    pub fn new(id: TraceId, spans: Vec<Span>) -> Self {
        let mut problems = problem::Problems::default();
        let mut forest = repair::repair(id, spans, &mut problems);
        skew::align(&mut forest, &mut problems);
        let mut trace = Self::in_order(id, forest);
        problem::note_what_sticks_out(&trace, &mut problems);
        trace.problems = problems.finish(&trace);
        trace
    }

    /// Returns its id.
    pub fn id(&self) -> TraceId {
        self.id
    }

    /// Returns all spans, depth first, siblings by start. The position of each is its index.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Returns a span.
    ///
    /// # Panics
    ///
    /// If the index is another trace's and this one has fewer spans.
    pub fn span(&self, index: SpanIndex) -> &Span {
        &self.spans[index.get()]
    }

    /// Returns the indices of all spans.
    pub fn indices(&self) -> impl DoubleEndedIterator<Item = SpanIndex> + ExactSizeIterator + use<> {
        index::up_to(self.spans.len())
    }

    /// Returns where the span with this id is.
    pub fn find(&self, id: SpanId) -> Option<SpanIndex> {
        self.by_id.get(&id).copied()
    }

    /// Returns the span that stands for the whole: of those that never had a parent, the longest; if all have lost
    /// theirs, the longest of these. `None` if the trace is empty.
    pub fn root(&self) -> Option<SpanIndex> {
        self.main_root
    }

    /// Returns all spans without a parent, by start.
    pub fn roots(&self) -> &[SpanIndex] {
        &self.roots
    }

    /// Returns a span's parent; `None` if it is a root.
    pub fn parent(&self, index: SpanIndex) -> Option<SpanIndex> {
        self.parents[index.get()]
    }

    /// Returns a span's children, by start.
    pub fn children(&self, index: SpanIndex) -> &[SpanIndex] {
        let (from, to) = (self.first_child[index.get()], self.first_child[index.get() + 1]);
        &self.children[from as usize..to as usize]
    }

    /// Returns how many spans are above this one.
    pub fn depth(&self, index: SpanIndex) -> usize {
        self.depths[index.get()] as usize
    }

    /// Returns whether there is one root and no span has lost its parent.
    pub fn is_complete(&self) -> bool {
        self.roots.len() == 1 && !self.problems.iter().any(|problem| problem.kind == ProblemKind::MissingParent)
    }

    /// Returns the first start and the last end of all spans; `(0, 0)` if there are none.
    pub fn bounds(&self) -> (u64, u64) {
        let start = self.spans.iter().map(|span| span.start).min();
        let end = self.spans.iter().map(|span| span.end).max();
        (start.unwrap_or_default(), end.unwrap_or_default())
    }

    /// Returns what had to be repaired or read with care, one entry for each kind.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Puts spans whose parents form a forest into depth-first order.
    fn in_order(id: TraceId, repair::Forest { mut spans, parents, orphans }: repair::Forest) -> Self {
        let order = repair::depth_first(&spans, &parents);
        let mut place = vec![SpanIndex::default(); spans.len()];
        for (new, old) in index::up_to(order.len()).zip(&order) {
            place[*old] = new;
        }
        let parents: Vec<_> = order.iter().map(|old| parents[*old].map(|parent| place[parent])).collect();
        let was_orphan: Vec<_> = order.iter().map(|old| orphans[*old]).collect();
        repair::permute(&mut spans, &mut place);

        let mut depths = vec![0_u32; spans.len()];
        let mut first_child = vec![0_u32; spans.len() + 1];
        for (index, parent) in parents.iter().enumerate() {
            if let Some(parent) = parent {
                depths[index] = depths[parent.get()] + 1;
                first_child[parent.get() + 1] += 1;
            }
        }
        for index in 1..first_child.len() {
            first_child[index] += first_child[index - 1];
        }
        let mut next = first_child.clone();
        let mut children = vec![SpanIndex::default(); parents.iter().flatten().count()];
        for (index, parent) in index::up_to(spans.len()).zip(&parents) {
            if let Some(parent) = parent {
                let next = &mut next[parent.get()];
                children[*next as usize] = index;
                *next += 1;
            }
        }
        let roots: Vec<_> = index::up_to(spans.len()).filter(|index| parents[index.get()].is_none()).collect();
        let main_root = roots
            .iter()
            .copied()
            .max_by_key(|root| (!was_orphan[root.get()], spans[root.get()].nanos(), std::cmp::Reverse(root.get())));
        let by_id = index::up_to(spans.len()).map(|index| (spans[index.get()].span_id, index)).collect();
        let problems = Vec::new();
        Self { id, spans, parents, depths, children, first_child, roots, main_root, by_id, problems }
    }
}
