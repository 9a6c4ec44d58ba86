#!/usr/bin/env bash
# Whether this machine can build and test the client: says what is missing, installs what npm has to. Fails where
# it cannot; with NODE_TESTS=required that fails whoever asks, too.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"

# Says why not. Exit code 3 is for callers that may go on without.
skip() {
    if [[ ${NODE_TESTS:-} == required ]]; then
        echo "error: $1" >&2
        exit 1
    fi
    echo "$1: the JavaScript client is not tested" >&2
    exit 3
}

command -v node >/dev/null || skip 'there is no Node'
[[ $(node --print 'process.versions.node.split(".")[0]') -ge 18 ]] || skip 'Node is older than 18'
command -v npm >/dev/null || skip 'there is no npm'
installed=node_modules/.package-lock.json
if [[ ! -e $installed || package-lock.json -nt $installed ]]; then
    # Where there is no registry, that is known soon.
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error --fetch-retries=0 --fetch-timeout=20000 >&2 ||
        skip 'npm cannot install what the client is built with'
    touch "$installed"
fi
