# The contract passes buf's lint and does not break proto/landed.json
set -euo pipefail
. .ci/lib.sh

need_buf
cd proto
buf lint
buf format --diff --exit-code
buf breaking --against landed.json

# Proves that the check can fail: a changed field type must be found. 100 is buf's exit code for
# findings, other codes mean that it did not run.
broken=$(mktemp -d)
trap 'rm -rf "$broken"' EXIT
cp -r . "$broken"
sed -i 's/string display_name = 2/bytes display_name = 2/' "$broken/fanout/user/v1/user.proto"
found=0
(cd "$broken" && buf breaking --against landed.json >/dev/null) || found=$?
if [ "$found" -ne 100 ]; then
  echo "buf finds no breaking change in a broken contract" >&2
  exit 1
fi
