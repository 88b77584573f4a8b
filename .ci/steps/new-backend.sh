# A new backend can be added as docs/adding-a-backend.md describes
set -euo pipefail
. .ci/lib.sh

check=e2e/new-backend/check.sh
[ -f "$check" ] || skip "there is no $check"
bash "$check"
