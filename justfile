# Short verbs. `just` alone lists them; each is one command that works without just, too.

[private]
default:
    @just --list --unsorted

# type-check everything
check:
    cargo check --workspace --all-targets

# run every test (the first run builds a control plane, which takes minutes once)
test *arguments:
    cargo test {{ arguments }}

# run the tests that need no control plane
quick:
    cargo test --workspace --lib
    cargo test --package changehook --test house --test cli --test signals

# format the sources
fmt:
    cargo fmt --all

# what the compiler and clippy have to say, as strictly as CI
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# build the documentation of the code, private items too
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items

# regenerate everything that is generated
generate:
    cargo run --quiet -- crds --dir crds
    cargo run --quiet -- crds --markdown > docs/reference.md
    cargo manifests

# see it work: control plane, receiver, operator
demo *arguments:
    cargo demo {{ arguments }}

# the first figure, end to end: changes a second, latency, memory; release builds
load *arguments:
    cargo load {{ arguments }}

# what the steps of a change cost, against a commit: both measured in turns
compare base *arguments:
    cargo compare {{ base }} {{ arguments }}

# start a control plane and leave it running; writes an admin kubeconfig
control-plane kubeconfig="target/kubeconfig":
    cargo run --package testbed --bin control-plane -- --kubeconfig {{ kubeconfig }}

# run the operator against that control plane
operator kubeconfig="target/kubeconfig" *arguments:
    cargo run -- operator --kubeconfig {{ kubeconfig }} {{ arguments }}

# build what is released
release:
    cargo build --release --workspace --bins

# what CI does
ci:
    .ci/run
