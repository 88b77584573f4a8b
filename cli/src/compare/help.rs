//! What `fanout compare --help` says after its flags.

/// Commands to try. Also in the short help.
pub(super) const EXAMPLES: &str = "\
Examples:
  fanout compare                                   with every strategy
  fanout compare --delay 500ms                     all backends take 500 ms
  fanout compare --delay user=1s,country=50ms      one takes nearly all the time
  fanout compare --strategy sequential,concurrent  two strategies
  fanout compare --method get-home-country         calls that need one another
  fanout compare --user nobody                     a call that fails
  fanout compare --json                            for programs";

/// Explains the drawing and the figures.
const READING: &str = "\
How to read it:
  sequential  waited 6.01 s  trace 4092c76c…
    user     █████████████                  3.00 s
    country               █████████████     3.00 s ◆
             ┬────────────┬────────────┬
             0 s          3 s          6 s

  A bar is a call to a backend: when it started, and how long it took. All
  bars above an axis share it. ◆ marks the call that ended last: the one to
  speed up first. While a request is in flight, its bars grow as the runs
  before it let one expect.

  ✗  ▓▓▓  failed             –       skipped: never started
  ◌  ▒▒▒  cancelled          ?  ░░░  unknown
  With --ascii: * for ◆, x for ✗ and ▓, ~ for ◌ and ▒, - for –.

  waited     how long the caller waited, by its own clock
  wall       from the start of the first call to the end of the last
  total      the sum of the calls' durations
  saved      what overlapping saved: total less wall
  avoidable  what joining would still save
  Differences below 1 ms read 0 s; --json has the exact figures.";

/// Returns what the long help ends with.
pub(super) fn long() -> String {
    format!("{READING}\n\n{EXAMPLES}")
}
