#!/bin/sh
# Starts a local network of real nodes: builds what is missing, then runs `synod testnet up` with your arguments.
set -eu
cd "$(dirname "$0")/.."
cargo build --quiet --release --bin synod
exec "${CARGO_TARGET_DIR:-target}/release/synod" testnet up "$@"
