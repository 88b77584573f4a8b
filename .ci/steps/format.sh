# The code is formatted as rustfmt does it
set -euo pipefail
. .ci/lib.sh

cargo fmt --all --check
