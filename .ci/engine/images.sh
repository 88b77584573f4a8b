#!/usr/bin/env bash
# Makes look-alikes of the base images that the Dockerfile and the compose file name, from Debian's
# packages and this machine's Rust toolchain. For an engine without a registry: images.sh WORK_DIR
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$1
rm -rf "$work"
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT

has() { docker image inspect "$1" >/dev/null 2>&1; }

# Uses this machine's mirrors and certificates: builds may need a proxy with its own certificate.
make_debian() {
  local sources=/etc/apt/sources.list.d/debian.sources
  [ -f "$sources" ] || sources=/etc/apt/sources.list
  mmdebstrap --quiet --mode=root --variant=minbase --include=ca-certificates \
    --customize-hook='copy-in /usr/local/share/ca-certificates /usr/local/share' \
    --customize-hook='chroot "$1" update-ca-certificates >/dev/null' \
    bookworm "$work/debian.tar" "$sources"
  docker import --change 'CMD ["bash"]' "$work/debian.tar" debian:bookworm-slim >/dev/null
  rm "$work/debian.tar"
}

# With the layout of the official image: /usr/local/rustup and /usr/local/cargo.
make_rust() {
  local version=$1 context=$work/rust tool
  mkdir -p "$context/cargo/bin" "$context/rustup/toolchains"
  cp -a "$(rustc --print sysroot)" "$context/rustup/toolchains/this"
  rm -rf "$context/rustup/toolchains/this/share/doc" "$context/rustup/toolchains/this/share/man"
  for tool in cargo rustc rustdoc; do ln -s "../../rustup/toolchains/this/bin/$tool" "$context/cargo/bin/$tool"; done
  docker build --quiet --network host --file "$here/rust.Dockerfile" --tag "rust:${version%.*}-bookworm" "$context" >/dev/null
  rm -rf "$context"
}

# A C library, certificates and three users; no shell.
make_distroless() {
  local root=$work/distroless package
  mkdir -p "$root"/{etc/ssl/certs,home/nonroot,root,tmp} "$work/packages"
  (cd "$work/packages" && apt-get -qq -o APT::Sandbox::User=root download base-files netbase tzdata libc6 libssl3 libgcc-s1 libgomp1 libstdc++6 gcc-12-base)
  for package in "$work"/packages/*.deb; do dpkg-deb -x "$package" "$root"; done
  rm -rf "$root"/usr/share/{bug,doc,lintian,man}
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  cp "$here/passwd" "$here/group" "$root/etc/"
  chmod 1777 "$root/tmp"
  chown 65532:65532 "$root/home/nonroot"
  tar -C "$root" -c . | docker import --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change 'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt' --change 'WORKDIR /home/nonroot' --change 'USER 65532' \
    - gcr.io/distroless/cc-debian12:nonroot >/dev/null
}

rust=$(rustc --version | cut -d ' ' -f 2)
has debian:bookworm-slim || make_debian
has "rust:${rust%.*}-bookworm" || make_rust "$rust"
has gcr.io/distroless/cc-debian12:nonroot || make_distroless
has postgres:15-bookworm || docker build --quiet --network host --file "$here/postgres.Dockerfile" --tag postgres:15-bookworm "$here" >/dev/null
