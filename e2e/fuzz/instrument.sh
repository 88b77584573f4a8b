#!/bin/sh
# Compiles a crate so that libFuzzer sees which of its code an input reaches: for RUSTC_WORKSPACE_WRAPPER, which Cargo
# calls with rustc and its arguments for the crates of the workspace only.
case " $* " in
  # A program that runs during the build, without libFuzzer.
  *" --crate-name build_script_"*) exec "$@" ;;
esac
exec "$@" -Copt-level=1 -Cdebug-assertions -Coverflow-checks -Cpasses=sancov-module \
  -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares
