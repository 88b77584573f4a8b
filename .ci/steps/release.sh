# The release build succeeds
set -euo pipefail
. .ci/lib.sh

cargo build --release --locked
