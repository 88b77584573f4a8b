//! The comparison itself: its runs end, count their calls and see the faults.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "clippy knows tests by their attribute alone")]

use std::process::Command;

use serde_json::Value;

/// Runs the quick comparison of these rivals and faults, and returns one object for each run.
fn quick(rivals: &str, faults: &str) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_side-by-side"))
        .args(["--quick", "--json", "--rivals", rivals, "--faults", faults])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

fn count(run: &Value, field: &str) -> u64 {
    run[field].as_u64().unwrap()
}

#[test]
fn a_plain_channel_fails_with_its_replica_and_when_connections_are_reset() {
    let runs = quick("channel", "killed,reset");
    assert_eq!(runs.len(), 2);
    for run in &runs {
        assert_eq!(count(run, "calls"), 600, "{run}");
        assert!(count(run, "failed") > 0, "{run}");
        let listed: u64 = run["failures"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(listed, count(run, "failed"), "{run}");
    }
    // It has one endpoint, which is gone for the last two thirds of the calls.
    assert!(count(&runs[0], "failed") > 300, "{}", runs[0]);
}

#[test]
fn a_slow_tail_is_in_the_quantiles_and_fails_no_call() {
    let runs = quick("balance-list", "tail");
    assert_eq!(runs.len(), 1);
    assert_eq!(count(&runs[0], "failed"), 0, "{}", runs[0]);
    assert!(runs[0]["p999_ms"].as_f64().unwrap() > 900.0, "{}", runs[0]);
}
