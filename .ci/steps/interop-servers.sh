# The channel passes gRPC's interop cases against grpcio and grpc-js servers
set -euo pipefail
. .ci/lib.sh

setup=e2e/interop-servers/setup.sh
bash "$setup" "$TOOLS/interop-servers"
export FANOUT_INTEROP_DIR=$TOOLS/interop-servers FANOUT_REQUIRE_INTEROP=1
cargo test -p interop-servers --locked
