#!/bin/sh
# Every ordering of a committee with etcd and ZooKeeper beside it: three members of each on this machine, synced to disk,
# one load in one run, one table. Your arguments go to `synod bench ordering --all`, such as --for 10 or --svg all.svg.
# They come from Debian's packages: apt-get install etcd-server etcd-client zookeeper
# BESIDE_PORT is the first of the ports used (23700).
set -eu
root="$(cd "$(dirname "$0")/.." && pwd)"
. "$root/testnet/build.sh"

port="${BESIDE_PORT:-23700}"
folder="$(mktemp -d)"
pids=
end() {
  for pid in $pids; do kill "$pid" 2>/dev/null || true; done
  wait
  rm -rf "$folder"
}
trap end EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# Asks until an answer is there.
until_said() {
  tries=0
  until said="$("$@" 2>/dev/null)" && [ -n "$said" ]; do
    tries=$((tries + 1))
    if [ "$tries" -ge 120 ]; then
      echo "$1 did not come up within a minute; what its members said:" >&2
      tail -n 5 "$folder"/*.log >&2
      exit 1
    fi
    sleep 0.5
  done
}

# The leader's address first, then the others'.
leader_first() {
  list="$1"
  for address in $2; do [ "$address" = "$1" ] || list="$list,$address"; done
  echo "$list"
}

etcd_leader() {
  etcdctl --endpoints "$1" endpoint status --write-out simple | awk -F', ' '$5 == "true" { print $1 }'
}

start_etcd() {
  cluster= addresses=
  for i in 0 1 2; do
    cluster="$cluster${cluster:+,}m$i=http://127.0.0.1:$((port + 10 + i))"
    addresses="$addresses${addresses:+ }127.0.0.1:$((port + i))"
  done
  for i in 0 1 2; do
    etcd --name "m$i" --data-dir "$folder/etcd$i" --log-level error \
      --listen-client-urls "http://127.0.0.1:$((port + i))" --advertise-client-urls "http://127.0.0.1:$((port + i))" \
      --listen-peer-urls "http://127.0.0.1:$((port + 10 + i))" \
      --initial-advertise-peer-urls "http://127.0.0.1:$((port + 10 + i))" \
      --initial-cluster "$cluster" --initial-cluster-state new >"$folder/etcd$i.log" 2>&1 &
    pids="$pids $!"
  done
  until_said etcd_leader "$(echo "$addresses" | tr ' ' ',')"
  etcd="$(leader_first "$said" "$addresses")"
}

zookeeper_leader() {
  for i in 0 1 2; do
    if "$zk" status "$folder/zk$i.cfg" 2>/dev/null | grep -q 'Mode: leader'; then echo "127.0.0.1:$((port + 20 + i))"; fi
  done
}

start_zookeeper() {
  addresses=
  for i in 0 1 2; do
    mkdir "$folder/zk$i"
    echo "$i" >"$folder/zk$i/myid"
    {
      printf 'globalOutstandingLimit=10000\ntickTime=2000\ninitLimit=10\nsyncLimit=5\nadmin.enableServer=false\n4lw.commands.whitelist=srvr\n'
      printf 'dataDir=%s\nclientPortAddress=127.0.0.1\nclientPort=%s\n' "$folder/zk$i" "$((port + 20 + i))"
      for j in 0 1 2; do echo "server.$j=127.0.0.1:$((port + 30 + j)):$((port + 40 + j))"; done
    } >"$folder/zk$i.cfg"
    addresses="$addresses${addresses:+ }127.0.0.1:$((port + 20 + i))"
  done
  for i in 0 1 2; do
    ZOO_LOG_DIR="$folder/zk$i" "$zk" start-foreground "$folder/zk$i.cfg" >"$folder/zk$i.log" 2>&1 &
    pids="$pids $!"
  done
  until_said zookeeper_leader
  zookeeper="$(leader_first "$said" "$addresses")"
}

if command -v etcd >/dev/null && command -v etcdctl >/dev/null; then
  start_etcd
  set -- --etcd "$etcd" "$@"
else
  echo "etcd is not here: apt-get install etcd-server etcd-client" >&2
fi
zk=
for one in /usr/share/zookeeper/bin/zkServer.sh "$(command -v zkServer.sh || true)"; do
  if [ -z "$zk" ] && [ -x "$one" ]; then zk="$one"; fi
done
if [ -n "$zk" ]; then
  start_zookeeper
  set -- --zookeeper "$zookeeper" "$@"
else
  echo "ZooKeeper is not here: apt-get install zookeeper" >&2
fi
"$synod" bench ordering --all "$@"
