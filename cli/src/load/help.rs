//! What `fanout load --help` says after its flags.

/// Commands to try.
pub(super) const EXAMPLES: &str = "\
Examples:
  fanout load --strategy sequential                      two callers at once
  fanout load --callers 100 --duration 10s --delay 20ms  a closed loop
  fanout load --rate 200 --delay p50=20ms,p99=200ms      an open loop for 10 s
  fanout load --requests 1000 --delay 0 --json           for programs";
