# Adds the backend of docs/adding-a-backend.md to a copy of the repository, counts what had to be changed for it, builds
# and tests the copy, and calls it. Run it in the root of the repository; it needs Git, Cargo, npm and Python 3.
set -euo pipefail
. .ci/lib.sh

# What a new backend may need outside of its crate and its .proto.
MAX_FILES=6 MAX_LINES=30
MAX_DEPLOYMENT_FILES=4 MAX_DEPLOYMENT_LINES=15

here=$PWD/e2e/new-backend
work=$TOOLS/new-backend
tree=$work/tree
export CARGO_TARGET_DIR=$work/target

# === The copy

# Files keep their times, so that Cargo builds only what changed since the last run.
rm -rf "$tree"
mkdir -p "$tree"
git ls-files -z | xargs -0 cp --parents --preserve=timestamps -t "$tree"
# The dependencies that the tests of the repository have built.
if [ ! -d "$CARGO_TARGET_DIR" ] && [ -d target/debug/deps ]; then
  mkdir -p "$CARGO_TARGET_DIR/debug"
  cp -r --preserve=timestamps target/debug/{.fingerprint,build,deps} "$CARGO_TARGET_DIR/debug"
fi
cd "$tree"
git init --quiet .
git add --all
before=$(git write-tree)

# === The new backend

cp -r "$here/files/." .
if ! git apply "$here/edits.patch"; then
  echo "edits.patch does not fit the code any more. To renew it, in $tree:" >&2
  echo "  git apply --reject $here/edits.patch     # and do what *.rej contain" >&2
  echo "  git diff >$here/edits.patch" >&2
  exit 1
fi
git add --all

# changed PATHSPEC...: prints "FILES LINES", the number of changed files and of added lines.
changed() {
  git diff --cached --numstat "$before" -- "$@" | awk '{ files++; lines += $1 } END { print files + 0, lines + 0 }'
}

deployment=(deploy docker-compose.yml .env.example Dockerfile .dockerignore)
# Cargo writes Cargo.lock itself.
others=("${deployment[@]/#/:(exclude)}" ':(exclude)currency-service' ':(exclude)proto/fanout/currency' ':(exclude)Cargo.lock')
read -r files lines < <(changed . "${others[@]}")
read -r deployment_files deployment_lines < <(changed "${deployment[@]}")
echo "outside of its crate and its .proto, a new backend changes"
echo "  source:     $files files, $lines lines added (allowed: $MAX_FILES and $MAX_LINES)"
echo "  deployment: $deployment_files files, $deployment_lines lines added (allowed: $MAX_DEPLOYMENT_FILES and $MAX_DEPLOYMENT_LINES)"
if ((files > MAX_FILES || lines > MAX_LINES ||
  deployment_files > MAX_DEPLOYMENT_FILES || deployment_lines > MAX_DEPLOYMENT_LINES)); then
  echo "that is too much: let the rest follow from a table or from the descriptors" >&2
  exit 1
fi

# === The proof

need_buf
(cd proto && buf lint && buf format --diff --exit-code && buf breaking --against landed.json)
cargo fmt --all --check
# None of these tests knows the new backend, and none had to be changed.
cargo test --quiet -p currency-service -p gateway -p fanout-proto -p fanout-cli --lib --test settings_doc
# The tests of the whole, which start every backend of the table; of the chaos suite one case, which has all of its parts.
cargo test --quiet -p e2e --test drain --test metrics --test policies --test spans --test start
cargo test --quiet -p e2e --test chaos one_of_three_is_killed_and_comes_back
cargo build --quiet -p fanout-cli
export FANOUT=$CARGO_TARGET_DIR/debug/fanout
python3 e2e/new-backend/three_calls.py
need_python "$INTEROP/requirements.txt"
# test_aggregate.py pins how long the calls of GetProfile take together.
(cd "$INTEROP" && "$PYTHON/pytest" -q test_errors.py test_health.py test_limits.py test_processes.py test_reflection.py \
  test_restart.py test_streamed_users.py test_users.py)

# The manifests hold the service too. What validate.sh installs is kept.
mkdir -p target/ci
# A virtual environment cannot be created through a link.
[ -x "$TOOLS/kubernetes/bin/pip" ] || python3 -m venv "$TOOLS/kubernetes"
ln -s "$TOOLS/kubernetes" target/ci/kubernetes
deploy/kubernetes/validate.sh
