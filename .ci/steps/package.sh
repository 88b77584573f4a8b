# The crates that can be published build from their packages
set -euo pipefail
. .ci/lib.sh

mapfile -t crates < <(cargo metadata --no-deps --format-version 1 --locked | python3 -c '
import json, sys
for package in json.load(sys.stdin)["packages"]:
    if package["publish"] is None:
        print(package["name"])')
echo "${crates[*]}"
# Cargo keeps what it unpacked from an earlier package of the same version in a checkout at the same path.
for crate in "${crates[@]}"; do
  rm -rf "${CARGO_HOME:-$HOME/.cargo}"/registry/src/-*/"$crate"-[0-9]*
done
# Verifies each package in the workspace's target directory, where dependencies are built once.
cargo package --locked --allow-dirty "${crates[@]/#/--package=}"
