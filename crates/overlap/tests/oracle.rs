//! The figures and the critical path against what brute force finds.

mod builder;

use std::time::Duration;

use builder::{EPOCH, MS, With as _, client, find, id, internal, server, trace};
use overlap::{Analysis, Evidence, Span};
use proptest::prelude::*;

/// A unit of time, so long that no tolerance matters.
const TICK: u64 = 1000;

fn ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * TICK)
}

/// Calls with durations and what each needs of those before it, started as soon as possible after a delay.
#[derive(Clone, Debug)]
struct Graph(Vec<GraphCall>);

#[derive(Clone, Debug)]
struct GraphCall {
    takes: u64,
    delay: u64,
    needs: Vec<bool>,
}

fn graph() -> impl Strategy<Value = Graph> {
    let call = (1_u64..4, 0_u64..4, proptest::collection::vec(proptest::bool::weighted(0.4), 4));
    let call = call.prop_map(|(takes, delay, needs)| GraphCall { takes, delay, needs });
    proptest::collection::vec(call, 1..5).prop_map(Graph)
}

impl Graph {
    fn needs(&self, call: usize) -> impl Iterator<Item = usize> + '_ {
        (0..call).filter(move |before| self.0[call].needs[*before])
    }

    /// Returns when each call runs.
    fn times(&self) -> Vec<(u64, u64)> {
        let mut times: Vec<(u64, u64)> = Vec::new();
        for (number, call) in self.0.iter().enumerate() {
            let ready = self.needs(number).map(|before| times[before].1).max().unwrap_or_default();
            times.push((ready + call.delay, ready + call.delay + call.takes));
        }
        times
    }

    /// Returns the shortest time that any schedule takes, by trying all of them.
    fn shortest(&self) -> u64 {
        let horizon: u64 = self.0.iter().map(|call| call.takes).sum();
        let mut shortest = u64::MAX;
        let mut starts = vec![0; self.0.len()];
        loop {
            let end = |call: usize| starts[call] + self.0[call].takes;
            if (0..self.0.len()).all(|call| self.needs(call).all(|before| end(before) <= starts[call])) {
                shortest = shortest.min((0..self.0.len()).map(end).max().unwrap_or_default());
            }
            let Some(next) = starts.iter().position(|start| *start < horizon) else { return shortest };
            starts[..next].fill(0);
            starts[next] += 1;
        }
    }
}

/// A program: what runs in turn, what runs together, and the spans around it.
#[derive(Clone, Debug)]
enum Program {
    Work(u64),
    Call(u64),
    /// A function or a task with a span of its own.
    Task(Vec<Program>),
    /// Calls and tasks that are joined.
    Join(Vec<Program>),
}

fn program() -> impl Strategy<Value = Vec<Program>> {
    let leaf = prop_oneof![(1_u64..50).prop_map(Program::Work), (1_u64..500).prop_map(Program::Call)];
    let step = leaf.prop_recursive(4, 24, 4, |step| {
        let task = proptest::collection::vec(step, 1..4).prop_map(Program::Task);
        let branch = prop_oneof![(1_u64..500).prop_map(Program::Call), task.clone()];
        prop_oneof![task, proptest::collection::vec(branch, 1..4).prop_map(Program::Join)]
    });
    proptest::collection::vec(step, 1..4)
}

/// The spans of a run, and what is known because the program is.
#[derive(Default)]
struct Run {
    spans: Vec<Span>,
    /// Whether several joined branches ended last: any of them is right.
    tie: bool,
}

type Path = Vec<(u64, u64, u64)>;

impl Run {
    /// Runs steps in turn within a span; returns the end and the critical path: span, start and end.
    fn in_turn(&mut self, steps: &[Program], parent: u64, mut at: u64) -> (u64, Path) {
        let mut path = Path::new();
        for step in steps {
            let (end, steps) = self.step(step, parent, at);
            at = end;
            path.extend(steps);
        }
        (at, path)
    }

    fn step(&mut self, step: &Program, parent: u64, at: u64) -> (u64, Path) {
        match step {
            Program::Work(takes) => (at + takes, vec![(parent, at, at + takes)]),
            Program::Call(takes) => {
                let number = self.add(|number| client(number, parent, "call", at * TICK, (at + takes) * TICK));
                (at + takes, vec![(number, at, at + takes)])
            }
            Program::Task(steps) => {
                let number = self.add(|number| internal(number, parent, "task", at * TICK, at * TICK));
                let (end, path) = self.in_turn(steps, number, at);
                let place = usize::try_from(number).unwrap_or_default() - 1;
                self.spans[place].end = EPOCH + end * TICK * MS;
                (end, path)
            }
            Program::Join(branches) => {
                let ends: Vec<_> = branches.iter().map(|branch| self.step(branch, parent, at)).collect();
                let last = ends.iter().map(|(end, _)| *end).max().unwrap_or(at);
                self.tie |= ends.iter().filter(|(end, _)| *end == last).count() > 1;
                ends.into_iter().find(|(end, _)| *end == last).unwrap_or((at, Path::new()))
            }
        }
    }

    fn add(&mut self, span: impl FnOnce(u64) -> Span) -> u64 {
        let number = self.spans.len() as u64 + 1;
        self.spans.push(span(number));
        number
    }
}

/// Returns a path without segments of one span after one another.
fn merged(path: Path) -> Path {
    let mut merged = Path::new();
    for (span, start, end) in path {
        match merged.last_mut() {
            Some(last) if last.0 == span && last.2 == start => last.2 = end,
            _ => merged.push((span, start, end)),
        }
    }
    merged
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn avoidable_is_what_the_best_of_all_schedules_saves(graph in graph()) {
        let times = graph.times();
        let end = times.iter().map(|(_, end)| *end).max().unwrap_or_default();
        let mut spans = vec![server(1, 0, "root", 0, end * TICK)];
        for (number, (start, end)) in times.iter().enumerate() {
            let mut call = client(number as u64 + 2, 1, &format!("call {number}"), start * TICK, end * TICK);
            for before in graph.needs(number) {
                call = call.link(before as u64 + 2);
            }
            spans.push(call);
        }
        let trace = trace(spans);
        let analysis = Analysis::of(&trace, &Evidence::default());
        let fan_out = analysis.fan_out(find(&trace, 1)).expect("it makes calls");

        // A naive sweep: how many run in each tick.
        let running = |tick| times.iter().filter(|(start, end)| *start <= tick && tick < *end).count() as u64;
        let first = times.iter().map(|(start, _)| *start).min().unwrap_or_default();
        let union = (0..end).filter(|tick| running(*tick) > 0).count() as u64;
        let sum = (0..end).map(running).sum::<u64>();
        let figures = (fan_out.wall, fan_out.sum, fan_out.union, fan_out.saved);
        prop_assert_eq!(figures, (ticks(end - first), ticks(sum), ticks(union), ticks(sum - union)));
        let overlapped = (0..end).filter(|tick| running(*tick) > 1).count() as u64;
        let overlaps = fan_out.overlaps().iter().map(|overlap| overlap.end - overlap.start).sum::<u64>();
        prop_assert_eq!(overlaps, overlapped * TICK * MS);

        // The time in which nothing runs is the program's own; it stays.
        prop_assert_eq!(fan_out.avoidable, ticks(union - graph.shortest()));
        prop_assert_eq!(analysis.avoidable(), fan_out.avoidable);
    }

    #[test]
    fn the_critical_path_is_the_programs(steps in program()) {
        let mut run = Run::default();
        let root = run.add(|number| server(number, 0, "root", 0, 0));
        let (end, path) = run.in_turn(&steps, root, 0);
        run.spans[0].end = EPOCH + end * TICK * MS;
        prop_assume!(!run.tie);

        let trace = trace(run.spans);
        let analysis = Analysis::of(&trace, &Evidence::default());
        let number = |span: overlap::Segment| u64::from_be_bytes(trace.span(span.span).span_id.0);
        let tick = |time: u64| (time - EPOCH) / MS / TICK;
        let found: Path = analysis
            .critical_path()
            .iter()
            .map(|segment| (number(*segment), tick(segment.start), tick(segment.end)))
            .collect();
        prop_assert_eq!(found, merged(path), "{:#?}", trace.spans());
        prop_assert_eq!(trace.find(id(root)), trace.root());
    }
}
