#!/bin/sh
# Prints users.conf for another prefix than goch, or for several installations that share a server: one user for each
# service of each of them.
#
#   users.sh PREFIX... > FILE
#
# The users of goch, and the variables of their passwords, are called as in users.conf. Those of another prefix have it
# in front: user acme-gateway, password $NATS_ACME_GATEWAY_PASSWORD. A service is given NATS_PREFIX, NATS_USER and
# NATS_PASSWORD accordingly. For a POSIX shell and any awk.
set -eu

[ $# -gt 0 ] || {
    echo "usage: users.sh PREFIX..." >&2
    exit 2
}

users=$(cd "$(dirname "$0")" && pwd)/users.conf

# How a variable of a prefix is called.
variable() {
    printf '%s' "$1" | tr 'a-z-' 'A-Z_'
}

seen=' '
for prefix in "$@"; do
    case $prefix in
    '' | *[!A-Za-z0-9_-]*)
        echo "error: a prefix has letters A-Z and a-z, digits, '_' and '-' only: $prefix" >&2
        exit 2
        ;;
    esac
    name=$(variable "$prefix")
    case $seen in
    *" $name "*)
        echo "error: two prefixes have the same variables NATS_${name}_...: $prefix" >&2
        exit 2
        ;;
    esac
    seen="$seen$name "
done

# What users.conf says before the users and after them, and the users in between.
part() {
    awk -v wanted="$1" '
        { part = /^  \]/ ? "after" : part == "" ? "before" : part }
        part == wanted
        /^  users: \[/ { part = "users" }
    ' "$users"
}

echo "# Made by deploy/nats/users.sh $*: do not edit."
part before
for prefix in "$@"; do
    if [ "$prefix" = goch ]; then
        part users
    else
        part users | sed \
            -e "/^ *\"/s/goch\([._]\)/$prefix\1/g" \
            -e "s/^\( *user: \)/\1$prefix-/" \
            -e "s/\(password: [$]NATS_\)/\1$(variable "$prefix")_/"
    fi
done
part after
