//! Inputs that are made to take long, or much memory.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use trace_formats::{Decoded, Limits, decode};

/// Returns how long reading computes, the faster of two runs.
fn measure(input: &str) -> Duration {
    let computed = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
    };
    let run = || {
        let start = computed();
        let decoded = read(input, &Limits::default());
        assert!(decoded.problems.len() == 100 && decoded.more_problems > 1000);
        computed().saturating_sub(start)
    };
    (0..2).map(|_| run()).min().unwrap_or_default()
}

fn read(input: &str, limits: &Limits) -> Decoded {
    decode(input.as_bytes(), limits).unwrap()
}

/// Ten times as many parts take at most 40 times as long: not 100 times, as they would if each looked at all before it.
#[track_caller]
fn grows_with_its_size(input: impl Fn(usize) -> String) {
    let (few, many) = (measure(&input(2_000)), measure(&input(20_000)));
    assert!(many < few * 40, "{few:?} for a tenth, {many:?} for all");
}

#[test]
fn faults_in_any_order() {
    // The list is read after what is behind it.
    let otlp = r#"{"scopeSpans":[0],"resource":0}"#;
    grows_with_its_size(|count| format!(r#"{{"resourceSpans":[{}]}}"#, vec![otlp; count].join(",")));
    let jaeger = r#"{"spans":[0],"processes":{"a":0}}"#;
    grows_with_its_size(|count| format!(r#"{{"data":[{}]}}"#, vec![jaeger; count].join(",")));
}

#[test]
fn faults_are_told_in_the_order_in_which_they_are_found() {
    let input = "{\"resourceSpans\":[{\"scopeSpans\":[0],\n\"resource\":0},\n1]}";
    let places: Vec<_> = read(input, &Limits::default()).problems.iter().map(|it| it.position.to_string()).collect();
    assert_eq!(places, ["line 2, column 12", "line 1, column 34", "line 3, column 1"]);
}
