#!/bin/sh
# Starts a local network of real nodes: builds what is missing, then runs `synod testnet up` with your arguments.
set -eu
root="$(cd "$(dirname "$0")/.." && pwd)"
target="${CARGO_TARGET_DIR:-target}"
case "$target" in /*) ;; *) target="$root/$target" ;; esac
if [ -x "$target/release/synod" ]; then quiet=--quiet; else
  quiet=
  echo "building synod; this takes some minutes the first time" >&2
fi
# There, where cargo finds the repository's own settings; the command runs here, so that its PATH line fits.
(cd "$root" && cargo build $quiet --release --bin synod)
exec "$target/release/synod" testnet up "$@"
