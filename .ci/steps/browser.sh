# The viewer's page is formatted, has sound types, and works in a real browser
set -euo pipefail
. .ci/lib.sh

npm ci --silent --no-audit --no-fund --prefix e2e/browser
npm run --silent --prefix e2e/browser format
npm run --silent --prefix e2e/browser types

need_release
FANOUT=$(realpath "$FANOUT")
command -v google-chrome >/dev/null || need_package chromium chromium
npm test --silent --prefix e2e/browser
