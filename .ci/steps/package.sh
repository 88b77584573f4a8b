# The crates that can be published build from their packages
set -euo pipefail
. .ci/lib.sh

mapfile -t crates < <(cargo metadata --no-deps --format-version 1 --locked | python3 -c '
import json, sys
for package in json.load(sys.stdin)["packages"]:
    if package["publish"] is None:
        print(package["name"])')
echo "${crates[*]}"
# Cargo takes a package of the same version for the same: what it unpacked and built from the one before, in a checkout at
# the same path, has to go.
for crate in "${crates[@]}"; do
  rm -rf "${CARGO_HOME:-$HOME/.cargo}"/registry/src/-*/"$crate"-[0-9]* target/debug/.fingerprint/"$crate"-*
done
# Verifies each package in the workspace's target directory, where dependencies are built once.
cargo package --locked --allow-dirty "${crates[@]/#/--package=}"
