# Clients written by others reach a running fanout
set -euo pipefail
. .ci/lib.sh

need_release
need_buf
need_package initdb postgresql
need_package promtool prometheus
need_python "$INTEROP/requirements.txt"
export FANOUT_REQUIRE_POSTGRES=1 FANOUT_REQUIRE_PROMETHEUS=1 FANOUT_REQUIRE_NAMESPACES=1
"$PYTHON/pytest" -q "$INTEROP"
