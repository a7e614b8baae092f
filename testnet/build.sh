# Sourced by the scripts beside it, from which it takes $root: builds what is missing and sets $synod to the command.
target="${CARGO_TARGET_DIR:-target}"
case "$target" in /*) ;; *) target="$root/$target" ;; esac
synod="$target/release/synod"
if [ -x "$synod" ]; then quiet=--quiet; else
  quiet=
  echo "building synod; this takes some minutes the first time" >&2
fi
# There, where cargo finds the repository's own settings.
(cd "$root" && cargo build $quiet --release --bin synod)
