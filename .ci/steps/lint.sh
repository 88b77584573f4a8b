# Clippy has no warnings
set -euo pipefail
. .ci/lib.sh

cargo clippy --workspace --all-targets --locked -- -D warnings
