# What the steps share: where tools are, how to get them, and how to skip. Sourced from the
# repository's root.
BUF_VERSION=1.75.0
CARGO_DENY_VERSION=0.20.2
CARGO_MACHETE_VERSION=0.9.2

TOOLS=$PWD/target/ci
INTEROP=e2e/interop
PYTHON=$TOOLS/venv/bin
# A step that exits with this code was skipped.
SKIPPED=77

export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0
export PATH=$TOOLS/npm/node_modules/.bin:$TOOLS/bin:$PATH

# skip REASON: ends the step without a failure.
skip() {
  echo "SKIPPED: $*"
  exit "$SKIPPED"
}

# need_package COMMAND PACKAGE: installs a Debian package unless its command is there.
need_package() {
  if command -v "$1" >/dev/null || compgen -G "/usr/lib/postgresql/*/bin/$1" >/dev/null; then return; fi
  local as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo --non-interactive)
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >/dev/null
}

# need_python FILE: installs the packages of a requirements file.
need_python() {
  [ -x "$PYTHON/pip" ] || python3 -m venv "$TOOLS/venv"
  "$PYTHON/pip" install --quiet --disable-pip-version-check -r "$1"
}

need_buf() {
  npm install --silent --no-audit --no-fund --prefix "$TOOLS/npm" "@bufbuild/buf@$BUF_VERSION"
}

# need_cargo_tool NAME VERSION: installs a tool that Cargo calls by name.
need_cargo_tool() {
  local stamp=$TOOLS/bin/$1.version
  if [ -x "$TOOLS/bin/$1" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$2" ]; then return; fi
  # The dev profile builds three times as fast, and a check takes a second with either.
  cargo install --quiet --locked --force --profile dev --root "$TOOLS" --target-dir "$TOOLS/build" "$1@$2"
  rm -rf "$TOOLS/build"
  echo "$2" >"$stamp"
}

# need_release: builds the release binaries and sets FANOUT, unless FANOUT names one already.
need_release() {
  if [ -n "${FANOUT:-}" ]; then return; fi
  cargo build --release --locked
  export FANOUT=$PWD/target/release/fanout
}
