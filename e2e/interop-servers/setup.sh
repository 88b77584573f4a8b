#!/usr/bin/env bash
# Installs the runtimes of the interop servers, at pinned versions, into the directory DIR:
#   setup.sh DIR
# Does nothing if they are there already.
set -euo pipefail
servers=$(cd "$(dirname "$0")/servers" && pwd)
dir=${1:?usage: setup.sh DIR}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

wanted=$(cat "$servers"/{requirements.txt,package.json,package-lock.json} | sha256sum)
if [ "$(cat "$dir/installed" 2>/dev/null)" = "$wanted" ]; then
  exit 0
fi
rm -f "$dir/installed"
[ -x "$dir/venv/bin/python" ] || python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check -r "$servers/requirements.txt"
cp "$servers/package.json" "$servers/package-lock.json" "$dir/"
npm ci --silent --no-audit --no-fund --prefix "$dir"
echo "$wanted" >"$dir/installed"
