//! What `fanout analyze --help` says after its flags.

/// Commands to try. Also in the short help.
pub(super) const EXAMPLES: &str = "\
Examples:
  fanout analyze trace.json                   a file of any format
  fanout analyze traces/                      all files of a directory
  fanout analyze -                            what comes in by a pipe
  fanout analyze --trace 4bf92f traces/       one trace, by how its id begins
  fanout analyze --svg out.svg trace.json     a picture of the worst trace
  fanout analyze --max-avoidable 100ms traces/          fail above it, for CI
  fanout analyze --format github --max-avoidable 100ms traces/";

/// Explains the drawing and the figures.
const READING: &str = "\
How to read it:
  web: GET /order     ▒▒▒▒▒▒▒▒▒▒▒▒▒  6.01 s
    user: GetUser     ██████▌        3.00 s ◆
    country: Get             ██████  3.00 s ◆
                      ┬──────┬─────┬
                      0 s    3 s   6 s

  A bar is a span. █ is the critical path: at each moment the innermost span
  that the end waited for; ▒ is the rest of a span. ◆ marks spans on that
  path, ✗ spans with an error. With --ascii: # for █, - for ▒, * for ◆, x.

  wall       from the start of the first call of a span to the end of the last
  sum        of the calls' durations
  saved      what overlapping saved: the sum less the time with any call
  avoidable  what joining would still save, of calls that are not known to
             need one another

Formats: OTLP (JSON, one document or one in each line, and protobuf), Jaeger
JSON, Zipkin JSON; each may be compressed with gzip.

Exit codes: 0; 1 above --max-avoidable; 65 if a part could not be read, 66 if a
file could not be opened.";

/// Returns what the long help ends with.
pub(super) fn long() -> String {
    format!("{READING}\n\n{EXAMPLES}")
}
