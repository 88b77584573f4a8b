//! The example runs, and no call on `grpc-channel` fails.

use std::process::Command;

#[test]
fn no_call_fails_on_grpc_channel() {
    let output = Command::new(env!("CARGO_BIN_EXE_replicas")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.lines().any(|line| line.starts_with("| `grpc-channel` | 0 | ")), "{text}");
    assert!(text.lines().any(|line| line.starts_with("| tonic's `Channel` | ")), "{text}");
}
