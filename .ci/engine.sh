#!/usr/bin/env bash
# Provides a container engine for the tests of the images and the compose file.
#   engine.sh up      uses the machine's engine, or installs and starts one of its own
#   engine.sh env     prints the exports for the engine that `up` chose: eval "$(engine.sh env)"
#   engine.sh down    stops the engine if `up` started it; its images stay for the next run
#
# An engine of its own needs Debian 12, root, and Debian's packages. Without an image registry, `up`
# makes look-alikes of the base images (.ci/engine/images.sh). `up` exits with 69 if there is no
# engine and none can be installed.
#
# In a container without those privileges, its containers can have neither --privileged nor ulimits
# above 20000. Without a registry, `# syntax=` lines and image digests do not work.
set -euo pipefail
cd "$(dirname "$0")/.."

ENGINE_DIR=${ENGINE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/fanout-engine}
ROOT=$ENGINE_DIR/root # Debian 13's engine, unpacked beside Debian 12's libraries
SOCKET=$ENGINE_DIR/docker.sock
PIDFILE=$ENGINE_DIR/dockerd.pid
UNAVAILABLE=69

is_ours() { [ -s "$PIDFILE" ] && kill -0 "$(cat "$PIDFILE")" 2>/dev/null; }

print_env() {
  is_ours || return 0
  cat <<ENV
export DOCKER_HOST='unix://$SOCKET' DOCKER_CONFIG='$ENGINE_DIR/config'
export PATH='$ROOT/usr/sbin:$ROOT/usr/bin':"\$PATH"
ENV
  [ ! -e "$ENGINE_DIR/look-alikes" ] || echo "export POSTGRES_IMAGE_TAG=15-bookworm FANOUT_BUILD_NETWORK=host"
}

can_install() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && grep -q '^VERSION_CODENAME=bookworm' /etc/os-release
}

# Debian 12's own packages have no Compose 2 and no buildx. They are installed for what the newer
# engine needs at run time; RUNLEVEL=1 keeps apt from starting the older one.
install_packages() {
  command -v mmdebstrap >/dev/null && command -v runc >/dev/null && command -v iptables >/dev/null && return
  apt-get update -qq
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends docker.io iptables mmdebstrap ca-certificates >/dev/null
}

# Unpacks Debian 13's engine, by an apt configuration that leaves the system's own alone. runc stays
# Debian 12's: the newer one needs a newer C library.
unpack_engine() {
  [ -x "$ROOT/usr/sbin/dockerd" ] && return
  local apt=$ENGINE_DIR/apt plugin
  mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$ROOT" "$ENGINE_DIR/config/cli-plugins"
  local mirror
  mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -1)
  echo "deb ${mirror:-http://deb.debian.org/debian} trixie main" >"$apt/sources.list"
  local options=(-o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State::lists="$apt/lists" -o Dir::Cache::archives="$apt/archives" -o Dir::Cache::pkgcache=
    -o Dir::Cache::srcpkgcache= -o Debug::NoLocking=1 -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update -qq
  (cd "$apt/archives" && apt-get "${options[@]}" download -qq docker.io docker-cli containerd docker-compose docker-buildx)
  for package in "$apt"/archives/*.deb; do dpkg-deb -x "$package" "$ROOT"; done
  for plugin in "$ROOT"/usr/libexec/docker/cli-plugins/*; do ln -sf "$plugin" "$ENGINE_DIR/config/cli-plugins/"; done
}

start_engine() {
  rm -f "$PIDFILE"
  setsid dockerd --host "unix://$SOCKET" --pidfile "$PIDFILE" --data-root "$ENGINE_DIR/data" \
    --exec-root "$ENGINE_DIR/exec" >"$ENGINE_DIR/dockerd.log" 2>&1 </dev/null &
  local pid=$! tries
  for ((tries = 0; tries < 120; tries++)); do
    if docker --host "unix://$SOCKET" info >/dev/null 2>&1; then return; fi
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.5
  done
  echo "the container engine did not start; the end of its log:" >&2
  tail -20 "$ENGINE_DIR/dockerd.log" >&2
  return 1
}

up() {
  if docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; then
    echo "using the machine's container engine"
    return
  fi
  if ! can_install; then
    echo "no container engine: docker does not answer, and one can be installed on Debian 12 by root only" >&2
    return "$UNAVAILABLE"
  fi
  mkdir -p "$ENGINE_DIR"
  install_packages
  unpack_engine
  export PATH=$ROOT/usr/sbin:$ROOT/usr/bin:$PATH
  is_ours || start_engine
  rm -f "$ENGINE_DIR/look-alikes"
  eval "$(print_env)"
  if ! timeout 60 docker pull -q debian:bookworm-slim >/dev/null 2>&1; then
    echo "no image registry: making the base images"
    .ci/engine/images.sh "$ENGINE_DIR/work"
    touch "$ENGINE_DIR/look-alikes"
  fi
  docker version --format 'container engine {{.Server.Version}}, client {{.Client.Version}}'
  docker compose version
}

down() {
  is_ours || return 0
  local pid tries
  pid=$(cat "$PIDFILE")
  kill "$pid"
  for ((tries = 0; tries < 120; tries++)); do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep 0.5
  done
  echo "the container engine (process $pid) does not stop" >&2
  return 1
}

case ${1:-} in
  up) up ;;
  env) print_env ;;
  down) down ;;
  *) sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
esac
