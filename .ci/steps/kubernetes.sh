# The Kubernetes manifests match the published schemas and our rules
set -euo pipefail
. .ci/lib.sh

need_release
deploy/kubernetes/validate.sh
