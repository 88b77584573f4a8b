# Honest callers notice no attack on the release build
set -euo pipefail
. .ci/lib.sh

need_release
cargo test -p e2e --test abuse --locked -- --ignored --test-threads=1 --nocapture
