# One image for each service: `docker build --target gateway .`, or user-service, or
# country-service. The three targets share all of the build.

ARG RUST_VERSION=1.95
ARG DEBIAN=bookworm

# === What nobody's change of source touches: the dependencies, in a layer of their own

FROM rust:${RUST_VERSION}-${DEBIAN} AS dependencies
WORKDIR /src
# Less to link and to ship than the workspace's own release profile; the same code.
ENV CARGO_PROFILE_RELEASE_STRIP=symbols CARGO_TERM_COLOR=never
COPY Cargo.toml Cargo.lock ./
COPY proto/Cargo.toml proto/
COPY crates/fan-out/Cargo.toml crates/fan-out/
COPY crates/service-kit/Cargo.toml crates/service-kit/
COPY user-service/Cargo.toml user-service/
COPY country-service/Cargo.toml country-service/
COPY gateway/Cargo.toml gateway/
COPY cli/Cargo.toml cli/
COPY e2e/interop-servers/Cargo.toml e2e/interop-servers/
COPY e2e/side-by-side/Cargo.toml e2e/side-by-side/
# Cargo wants a source file for each target that a manifest names or implies.
RUN for crate in proto crates/fan-out crates/service-kit user-service country-service gateway cli \
      e2e/interop-servers e2e/side-by-side; do \
      mkdir -p "$crate/src" && : > "$crate/src/lib.rs"; \
    done \
 && echo 'fn main() {}' | tee proto/build.rs user-service/src/main.rs country-service/src/main.rs gateway/src/main.rs cli/src/main.rs \
 && cargo build --release --locked -p gateway -p user-service -p country-service

# === The services

FROM dependencies AS build
COPY proto proto
COPY crates crates
COPY user-service user-service
COPY country-service country-service
COPY gateway gateway
# Files that are copied keep their times, which may be older than the empty ones' builds.
RUN find proto crates user-service country-service gateway -name '*.rs' -exec touch {} + \
 && cargo build --release --locked -p gateway -p user-service -p country-service \
 && mkdir /data

# === What runs: a C library and certificates, no shell, nobody's root

FROM gcr.io/distroless/cc-debian12:nonroot AS runtime
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.vendor="the fanout authors" \
      org.opencontainers.image.base.name="gcr.io/distroless/cc-debian12:nonroot"
USER 65532:65532
# The signal that each service drains on, as any process 1 gets it.
STOPSIGNAL SIGTERM

FROM runtime AS gateway
LABEL org.opencontainers.image.title="fanout gateway" \
      org.opencontainers.image.description="Answers from several services at once, and says how much the calls overlapped"
COPY --from=build /src/target/release/gateway /usr/local/bin/gateway
ENV GATEWAY_LISTEN=[::]:50051
EXPOSE 50051
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --start-interval=250ms --retries=3 \
  CMD ["/usr/local/bin/gateway", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/gateway"]

FROM runtime AS user-service
LABEL org.opencontainers.image.title="fanout user service" \
      org.opencontainers.image.description="Keeps users in a database, and answers after a delay"
COPY --from=build /src/target/release/user-service /usr/local/bin/user-service
# Where the embedded database goes, when it is the embedded one; the root file system is
# read-only.
COPY --from=build --chown=65532:65532 /data /data
VOLUME /data
ENV USER_SERVICE_LISTEN=[::]:50052 DATABASE_URL=sqlite:/data/users.db
EXPOSE 50052
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --start-interval=250ms --retries=3 \
  CMD ["/usr/local/bin/user-service", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/user-service"]

FROM runtime AS country-service
LABEL org.opencontainers.image.title="fanout country service" \
      org.opencontainers.image.description="Knows the countries of ISO 3166-1, and answers after a delay"
COPY --from=build /src/target/release/country-service /usr/local/bin/country-service
ENV COUNTRY_SERVICE_LISTEN=[::]:50053
EXPOSE 50053
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --start-interval=250ms --retries=3 \
  CMD ["/usr/local/bin/country-service", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/country-service"]
