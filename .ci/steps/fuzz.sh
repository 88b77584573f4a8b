# No input is found in a minute for which a parser's property does not hold
set -euo pipefail
. .ci/lib.sh

# How long each target is searched, in seconds; or how many inputs are tried, whatever time that takes.
FUZZ_SECONDS=${FUZZ_SECONDS:-60}
FUZZ_RUNS=${FUZZ_RUNS:-}
# The same inputs in each run, as far as the time goes: whether a change passes is no matter of luck. 0 is another each time.
FUZZ_SEED=${FUZZ_SEED:-1}
# With dev the dependencies are those of the tests, and there is little more to build; release tries more inputs in a minute.
FUZZ_PROFILE=${FUZZ_PROFILE:-dev}
FOUND=$TOOLS/fuzz

need_package c++ g++
RUSTC_WORKSPACE_WRAPPER=$PWD/e2e/fuzz/instrument.sh \
  cargo build -p fuzz --features libfuzzer --bins --locked --profile "$FUZZ_PROFILE"
PROGRAMS=target/${FUZZ_PROFILE/#dev/debug}

# search TARGET: fails if an input breaks the target's property, takes 10 s, or needs 1 GiB.
search() {
  local found=$FOUND/$1 begun=$SECONDS limit=-max_total_time=$FUZZ_SECONDS
  [ -z "$FUZZ_RUNS" ] || limit=-runs=$FUZZ_RUNS
  mkdir -p "$found/corpus"
  # Inputs that reach new code are added to the first directory; the second one is only read.
  if ! "$PROGRAMS/$1" "$limit" -seed="$FUZZ_SEED" -timeout=10 -rss_limit_mb=1024 -artifact_prefix="$found/" \
    "$found/corpus" "e2e/fuzz/corpus/$1" >"$found/log" 2>&1; then
    echo "$1: FAILED"
    return 1
  fi
  sed -n "s/^#\([0-9]*\)[[:space:]]*DONE *cov: \([0-9]*\) .*/$1: \1 inputs in $((SECONDS - begun)) s, \2 edges/p" "$found/log"
}
export -f search
export FOUND FUZZ_RUNS FUZZ_SECONDS FUZZ_SEED PROGRAMS

rm -rf "$FOUND"
# Two at a time, as there are two processors.
if ! printf '%s\n' e2e/fuzz/corpus/* | xargs -P 2 -I '{}' bash -c 'search "$(basename "{}")"'; then
  for input in "$FOUND"/*/{crash,timeout,oom}-*; do
    [ -f "$input" ] || continue
    target=$(basename "$(dirname "$input")")
    printf '\n=== %s: %s\n' "$target" "$input"
    grep -A 4 -E "panicked at|^==[0-9]+== ERROR" "$FOUND/$target/log" || tail -20 "$FOUND/$target/log"
    printf 'reproduce: cargo run -p fuzz --bin %s -- %s\n' "$target" "$input"
    # Where there is no file, as after a run in CI.
    printf 'the input: base64 -d <<<%s\n' "$(base64 -w0 "$input")"
  done
  exit 1
fi
