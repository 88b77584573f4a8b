# The channel passes gRPC's interop cases against grpcio and grpc-js servers
set -euo pipefail
. .ci/lib.sh

setup=e2e/interop-servers/setup.sh
[ -f "$setup" ] || skip "there is no $setup"
bash "$setup" "$TOOLS/interop-servers"
FANOUT_REQUIRE_INTEROP=1 cargo test -p interop-servers --locked
