# A static program and the certificates that it trusts, nothing else: no shell, no package manager, no user.
# Build it for several platforms with `docker buildx build --platform linux/amd64,linux/arm64 .`

FROM rust:1.95-alpine AS build
# musl-dev has the C library to link; ca-certificates-bundle is what is copied below
RUN apk add --no-cache musl-dev ca-certificates-bundle
WORKDIR /source
COPY . .
# Alpine's own target links statically
RUN cargo build --release --locked --package changehook --bin changehook

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /source/target/release/changehook /changehook
# the same as runAsUser in the chart; a number, so that runAsNonRoot can be checked
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/changehook"]
