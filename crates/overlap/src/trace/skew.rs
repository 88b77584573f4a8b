//! Clocks that differ between processes.
//!
//! A SERVER span answers the span that is its parent, so it cannot start before it. If it does, or if it ends later
//! though it is shorter, the two clocks differ, and the server's spans are moved, as Jaeger and Zipkin do:
//!
//! * a server's span no longer than the caller's goes into its middle (the network takes as long either way);
//! * a longer one, whose caller has not waited for it, goes to its start, and only if it starts before it.
//!
//! What the server's process did below it moves along. A span of the next process is then compared with its own caller,
//! which may have moved. Nothing is moved that starts up to 1 ms early, or ends [as late](Interval::ends_after) as a part of a
//! span may for which the span has waited: a server ends its span when the reply has left, which may be after it has arrived.

use super::{
    problem::Problems,
    repair::{Forest, depth_first},
};
use crate::{ProblemKind, closeness::Interval, span::SpanKind};

pub(super) fn align(Forest { spans, parents, .. }: &mut Forest, problems: &mut Problems) {
    let mut moved = vec![0_i64; spans.len()];
    // Parents are before their children.
    for place in depth_first(spans, parents) {
        let Some(parent) = parents[place] else { continue };
        let (caller, span) = (&spans[parent], &spans[place]);
        let crosses =
            span.kind == SpanKind::Server && (caller.kind == SpanKind::Client || caller.service != span.service);
        // A message is handled later, and by another clock: there is nothing to compare.
        let by = match (crosses, span.kind) {
            (true, _) => shift(Interval::of(caller), Interval::of(span)),
            (false, SpanKind::Consumer) => 0,
            (false, _) => moved[parent],
        };
        if crosses && by != 0 {
            problems.note_amount(ProblemKind::ClockSkew, span.span_id, by.unsigned_abs());
        }
        let span = &mut spans[place];
        moved[place] = by;
        (span.start, span.end) = (span.start.saturating_add_signed(by), span.end.saturating_add_signed(by));
    }
}

/// Returns by how much a server's span has to be moved.
fn shift(caller: Interval, server: Interval) -> i64 {
    if !server.starts_before(caller) && !server.ends_after(caller) {
        return 0;
    }
    let start = if server.nanos() <= caller.nanos() {
        caller.start + (caller.nanos() - server.nanos()) / 2
    } else if server.start < caller.start {
        caller.start
    } else {
        return 0;
    };
    let by = i128::from(start) - i128::from(server.start);
    // Clocks that are 292 years apart are no clocks.
    i64::try_from(by).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[track_caller]
    fn moved(caller: (u64, u64), server: (u64, u64), by: i64) {
        let ms = |(start, end): (u64, u64)| Interval { start: start * MS, end: end * MS };
        assert_eq!(shift(ms(caller), ms(server)), by * 1_000_000);
    }

    #[test]
    fn within_its_caller_a_server_stays() {
        moved((100, 200), (100, 200), 0);
        moved((100, 200), (110, 190), 0);
        moved((100, 200), (99, 199), 0);
    }

    #[test]
    fn one_that_ends_as_late_as_a_part_may_stays() {
        moved((0, 3000), (25, 3020), 0);
        moved((0, 3000), (40, 3036), -38);
        moved((100, 200), (150, 201), 0);
    }

    #[test]
    fn outside_of_its_caller_it_goes_into_the_middle() {
        moved((100, 200), (300, 380), -190);
        moved((100, 200), (0, 80), 110);
        moved((100, 200), (150, 230), -40);
    }

    #[test]
    fn one_that_was_not_waited_for_stays() {
        moved((100, 200), (110, 500), 0);
        moved((100, 200), (50, 500), 50);
    }

    #[test]
    fn impossible_clocks_are_left_alone() {
        let interval = |start, end| Interval { start, end };
        assert_eq!(shift(interval(0, 10), interval(u64::MAX - 1, u64::MAX)), 0);
        assert_eq!(shift(interval(u64::MAX - 10, u64::MAX), interval(0, 1)), 0);
    }
}
