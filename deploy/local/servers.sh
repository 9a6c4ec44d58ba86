#!/usr/bin/env bash
# Finds nats-server and redis-server, installs Debian's packages for what is missing, and then runs
# the command it is given with NATS_SERVER and REDIS_SERVER naming the two programs. Where there is no apt-get, as
# on macOS, it installs nothing and says how to.
#
#   servers.sh COMMAND [ARGUMENT...]
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

policy=/usr/sbin/policy-rc.d

# Prints where a program is: the path in the variable, or what PATH finds. Debian puts servers into
# /usr/sbin, where only root's PATH looks.
find_program() {
    local variable=$1 program=$2 found
    if [[ -n ${!variable:-} ]]; then
        program=${!variable}
    fi
    if ! found=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v "$program"); then
        [[ -z ${!variable:-} ]] || die "$variable names $program, and there is no such program"
        return 1
    fi
    # The command may run in another folder.
    [[ $found == /* ]] || found=$PWD/$found
    printf '%s\n' "$found"
}

# Runs a command as root, or says what somebody who may should do.
as_root() {
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        no_way "this is not root and there is no sudo"
    fi
}

no_way() {
    die "missing: ${missing[*]}; and they cannot be installed here: $1.
Install them by hand, on macOS with
    brew install ${missing[*]/redis-server/redis}
and on Debian, as root, with
    apt-get install ${missing[*]}
or fetch programs from https://nats.io/download and https://redis.io/downloads and name them:
    NATS_SERVER=/path/to/nats-server REDIS_SERVER=/path/to/redis-server make run"
}

# Debian enables and starts what it installs. Goch starts its own servers, on ports of its own, so
# the system's stay off: a policy forbids the start while the packages are installed, and the units
# are disabled afterwards. A policy that is there already (containers have one) stays as it is.
install_packages() {
    command -v apt-get >/dev/null || no_way "there is no apt-get"
    say "installing Debian's packages: $*"
    as_root apt-get update -q
    if [[ ! -e $policy ]]; then
        trap 'as_root rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "$@"
    if command -v systemctl >/dev/null; then
        as_root systemctl disable "$@"
    fi
    if [[ -n $(trap -p EXIT) ]]; then
        as_root rm -f "$policy"
        trap - EXIT
    fi
}

missing=()
find_program NATS_SERVER nats-server >/dev/null || missing+=(nats-server)
find_program REDIS_SERVER redis-server >/dev/null || missing+=(redis-server)
if ((${#missing[@]})); then
    install_packages "${missing[@]}"
fi

NATS_SERVER=$(find_program NATS_SERVER nats-server)
REDIS_SERVER=$(find_program REDIS_SERVER redis-server)
export NATS_SERVER REDIS_SERVER
exec "$@"
