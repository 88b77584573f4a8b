# An aggregate costs no more instructions and allocations than the last landed one
set -euo pipefail
. .ci/lib.sh

need_package valgrind valgrind
cargo build --release --locked -p fanout-cli -p bench
target/release/bench cost --check bench/landed.json
