# Clippy has no warnings
set -euo pipefail
. .ci/lib.sh

cargo clippy --workspace --all-targets --locked -- -D warnings
# Features that no build of the workspace turns on.
cargo clippy -p grpc-channel --benches --features benches --locked -- -D warnings
cargo clippy -p side-by-side --all-targets --features rivals --locked -- -D warnings
