#!/bin/sh
# Starts a local network of real nodes: builds what is missing, then runs `synod testnet up` with your arguments.
set -eu
root="$(cd "$(dirname "$0")/.." && pwd)"
. "$root/testnet/build.sh"
# Not from there: so the PATH line that it prints fits.
exec "$synod" testnet up "$@"
