# The image of one service: `docker build .` makes the gateway's; docker-compose.yml has the
# arguments of the others. All images share every stage but the last.

ARG RUST_VERSION=1.95
ARG DEBIAN=bookworm

# === The manifests, and an empty file for each library, program, build script and bench

FROM rust:${RUST_VERSION}-${DEBIAN} AS manifests
WORKDIR /context
COPY . .
RUN mkdir /manifests \
 && cp Cargo.lock /manifests/ \
 && find . -name Cargo.toml -exec cp --parents {} /manifests/ ';' \
 && cd /manifests \
 && for crate in $(find . -mindepth 2 -name Cargo.toml -printf '%h '); do \
      mkdir -p "$crate/src" && : >"$crate/src/lib.rs" && echo 'fn main() {}' >"$crate/src/main.rs"; \
      if [ -f "/context/$crate/build.rs" ]; then cp "$crate/src/main.rs" "$crate/build.rs"; fi; \
      for bench in $(cd "/context/$crate" && find benches -name '*.rs' 2>/dev/null); do \
        mkdir -p "$crate/benches" && cp "$crate/src/main.rs" "$crate/$bench"; \
      done; \
    done

# === The dependencies: built again only if a manifest changes

FROM rust:${RUST_VERSION}-${DEBIAN} AS dependencies
WORKDIR /src
# Less to link and to ship than with the workspace's release profile; the code is the same.
ENV CARGO_PROFILE_RELEASE_STRIP=symbols CARGO_TERM_COLOR=never
COPY --from=manifests /manifests .
RUN cargo build --release --locked -p gateway -p '*-service' -p fanout-cli

# === The services

FROM dependencies AS build
COPY . .
# Copied files keep their times, which may be older than the build of the empty ones.
RUN find . -name '*.rs' -not -path './target/*' -exec touch {} + \
 && cargo build --release --locked -p gateway -p '*-service' -p fanout-cli \
 && mkdir /data

# === What runs: a C library and certificates, no shell, no root user

FROM gcr.io/distroless/cc-debian12:nonroot
ARG SERVICE=gateway
# What it is called, if not as its program.
ARG NAME=${SERVICE}
# The prefix of the service's variables, and its port.
ARG SETTINGS=GATEWAY
ARG PORT=50051
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="fanout ${NAME}" \
      org.opencontainers.image.description="The ${NAME} of fanout, a gateway that calls several gRPC services at once" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.vendor="the fanout authors" \
      org.opencontainers.image.base.name="gcr.io/distroless/cc-debian12:nonroot"
COPY --from=build /src/target/release/${SERVICE} /usr/local/bin/service
# For an embedded database. The rest of the file system can be read-only.
COPY --from=build --chown=65532:65532 /data /data
ENV ${SETTINGS}_LISTEN=[::]:${PORT} DATABASE_URL=sqlite:/data/users.db
EXPOSE ${PORT}
USER 65532:65532
# The signal on which each service drains.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --start-interval=250ms --retries=3 \
  CMD ["/usr/local/bin/service", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/service"]
