# Dependencies have allowed licences and sources, and none is banned
set -euo pipefail
. .ci/lib.sh

need_cargo_deny
# Advisories need a database from the network: the workflow checks them in a job of their own.
cargo deny --config .ci/deny.toml --log-level error check bans licenses sources
