# All Rust tests pass, by the README's command
set -euo pipefail
. .ci/lib.sh

need_package initdb postgresql
need_package openssl openssl
# Tests that need a database or namespaces skip themselves without them, but not here.
export FANOUT_REQUIRE_POSTGRES=1 FANOUT_REQUIRE_NAMESPACES=1
cargo test --workspace --locked --no-fail-fast
