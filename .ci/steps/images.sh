# The images and the compose file work on a container engine
set -euo pipefail
. .ci/lib.sh

# The machine's engine, or one that this script installs. CONTAINER_ENGINE may name another script
# with the same commands.
engine=${CONTAINER_ENGINE:-.ci/engine.sh}

before=$(bash "$engine" env)
if ! bash "$engine" up; then
  reason="images and compose file: no container engine, and none could be started"
  if [ "${CI:-}" = true ]; then
    echo "$reason" >&2
    exit 1
  fi
  skip "$reason"
fi
# An engine that was running before keeps running.
[ -n "$before" ] || trap 'bash "$engine" down' EXIT
eval "$(bash "$engine" env)"

# The certificates for Compose with TLS are made by the command.
need_release
need_package promtool prometheus
need_python deploy/tests/requirements.txt
FANOUT_REQUIRE_PROMETHEUS=1 "$PYTHON/pytest" -q -s deploy/tests
