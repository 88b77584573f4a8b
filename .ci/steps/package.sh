# The crates that can be published build from their packages
set -euo pipefail
. .ci/lib.sh

publishable=$(cargo metadata --no-deps --format-version 1 --locked | python3 -c '
import json, sys
for package in json.load(sys.stdin)["packages"]:
    if package["publish"] is None:
        print("-p", package["name"])')
echo $publishable
# A package is verified in the workspace's target directory: dependencies are built once.
cargo package --locked --allow-dirty $publishable
