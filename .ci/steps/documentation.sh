# The documentation builds without warnings
set -euo pipefail
. .ci/lib.sh

RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked --quiet
