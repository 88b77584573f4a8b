//! How much shorter each span would be if calls were joined, from the innermost span to the root.

use std::time::Duration;

use super::{Input, fan_out::avoidable};
use crate::span::SpanKind;
use crate::trace::SpanIndex;

/// How much shorter each span would be, in nanoseconds.
///
/// ```text
/// saving(span) = union of its calls - longest chain, where a call takes |call| - saving(call)
/// ```
///
/// A CLIENT span saves what the SERVER span that answers it would, unless its caller did not wait for that.
#[derive(Clone, Debug)]
pub(crate) struct Savings {
    /// Through all processes.
    total: Vec<u64>,
    /// By the calls that the span's own process makes.
    own: Vec<u64>,
}

// === impl Savings ===

impl Savings {
    pub(super) fn of(input: &Input<'_>) -> Self {
        let trace = input.trace;
        let mut total = vec![0; trace.spans().len()];
        let mut own = total.clone();
        // Children are after their parents.
        for index in trace.indices().rev() {
            let (calls, needs) = (input.children.calls(index), input.needs.under(index));
            let answered = answered(input, index, &total);
            let less = |savings: &[u64], span: SpanIndex, takes: u64| takes.saturating_sub(savings[span.get()]);
            let joined = avoidable(calls, needs, |call| less(&total, call.span, call.time.nanos()));
            let joined_here = avoidable(calls, needs, |call| {
                let is_wrapper = trace.span(call.span).kind == SpanKind::Internal
                    || trace.span(call.span).kind == SpanKind::Unspecified;
                let takes = call.time.nanos();
                if is_wrapper { less(&own, call.span, takes) } else { takes }
            });
            total[index.get()] = joined.max(answered);
            own[index.get()] = joined_here;
        }
        Self { total, own }
    }

    pub(super) fn total(&self, span: SpanIndex) -> Duration {
        Duration::from_nanos(self.total[span.get()])
    }

    pub(super) fn own(&self, span: SpanIndex) -> Duration {
        Duration::from_nanos(self.own[span.get()])
    }
}

/// Returns what the servers that answer a call would save for it.
fn answered(input: &Input<'_>, call: SpanIndex, total: &[u64]) -> u64 {
    let trace = input.trace;
    let caller = trace.span(call);
    if caller.kind != SpanKind::Client {
        return 0;
    }
    let servers = trace.children(call).iter().filter(|child| trace.span(**child).kind == SpanKind::Server);
    let saving = |server: &SpanIndex| {
        let late = trace.span(*server).end.saturating_sub(caller.end);
        total[server.get()].saturating_sub(late).min(caller.nanos())
    };
    servers.map(saving).max().unwrap_or_default()
}
