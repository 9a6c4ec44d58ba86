#!/usr/bin/env bash
# `make bench`: builds Goch and the load generator, installs the servers on Node where Node is, and
# measures. Called through servers.sh, which names the two servers. Arguments go to `goch-load run`;
# with none, the page about the figures is written as well. For Linux only: what servers cost is read from /proc.
set -euo pipefail

if [[ $(uname -s) != Linux ]]; then
    echo "error: the benchmark needs Linux, whose kernel says what a server costs" >&2
    exit 1
fi

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source-path=SCRIPTDIR source=../deploy/local/lib.sh
source deploy/local/lib.sh

binaries=${CARGO_TARGET_DIR:-target}/release
peers=target/bench/peers

# Prints the folder of Node's servers, or nothing where they cannot be had.
install_peers() {
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        say "Node is not installed: ws and socket.io are left out" >&2
        return
    fi
    mkdir -p "$peers"
    cp bench/peers/package.json bench/peers/*.js "$peers"
    if ! npm install --prefix "$peers" --no-audit --no-fund --omit=optional >&2; then
        say "npm cannot install them: ws and socket.io are left out" >&2
        return
    fi
    say "$PWD/$peers"
}

cargo build --release -p goch-load -p gateway -p chat-admin -p ingest-history -p broker-bridge
node=$(install_peers)
"$binaries/goch-load" run ${node:+--node "$node"} "$@"
if (($# == 0)); then
    "$binaries/goch-load" report
    say "written: docs/performance.md"
fi
