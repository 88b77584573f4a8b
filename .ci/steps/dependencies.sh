# Dependencies have allowed licences and sources, none is banned, and every one is used
set -euo pipefail
. .ci/lib.sh

need_cargo_tool cargo-deny "$CARGO_DENY_VERSION"
need_cargo_tool cargo-machete "$CARGO_MACHETE_VERSION"
# Advisories need a database from the network: the workflow checks them in a job of their own.
cargo deny --config .ci/deny.toml --log-level error check bans licenses sources
cargo machete --skip-target-dir
