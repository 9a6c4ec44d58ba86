# What the scripts of this folder share. Sourced, never run.
# shellcheck shell=bash

say() {
    printf '%s\n' "$*"
}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Whether something listens on a local port.
port_is_taken() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# A password for one run: letters and digits, a letter first, as NATS asks for.
new_password() {
    printf 'p%s' "$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"
}
