#!/bin/sh
# Makes the secrets of docker-compose.yml: writes the file .env beside it, which is .env.example with a password of
# its own for each user of NATS and of Redis, and a name and password for ticketing. What has a value already stays,
# and so do all other lines, so run it again whenever you like. Nothing secret is printed.
#
#   compose-secrets.sh [FILE]     FILE instead of .env
#
# Needs a POSIX shell, and /dev/urandom or openssl.
set -eu

root=$(CDPATH='' cd -- "$(dirname "$0")/.." && pwd)
file=${1:-$root/.env}
secrets='ADMIN_CREDENTIALS NATS_GATEWAY_PASSWORD NATS_CHAT_ADMIN_PASSWORD NATS_INGEST_HISTORY_PASSWORD
NATS_BROKER_BRIDGE_PASSWORD REDIS_CHAT_ADMIN_PASSWORD REDIS_INGEST_HISTORY_PASSWORD REDIS_OPERATOR_PASSWORD'

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Whether a variable has a value in the file, in any of the ways to write one that compose reads. The last one holds.
has_value() {
    [ -e "$file" ] || return 1
    value=$(sed -n "s/^[[:space:]]*\(export[[:space:]]\{1,\}\)\{0,1\}$1[[:space:]]*[=:]//p" "$file" |
        sed -e 's/^[[:space:]]\{1,\}#.*//' -e "s/[[:space:]\"']//g" | tail -n 1)
    [ -n "$value" ]
}

# Letters and digits, a letter first, as NATS asks for; 128 bits of it are chance.
new_password() {
    if [ -r /dev/urandom ]; then
        password=p$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    else
        password=p$(openssl rand -hex 16)
    fi
    [ ${#password} -eq 33 ] || die "neither /dev/urandom nor openssl gives random numbers"
}

# Prints a variable with a new secret. The shell itself does: no argument shows it to whoever lists processes.
fill() {
    new_password
    case $1 in
        ADMIN_CREDENTIALS) printf '%s=admin:%s\n' "$1" "$password" ;;
        *) printf '%s=%s\n' "$1" "$password" ;;
    esac
}

# Takes a name out of what is still to be written; fails if it is not in there.
take() {
    case $left in
        *" $1 "*) left="${left%%" $1 "*} ${left#*" $1 "}" ;;
        *) return 1 ;;
    esac
}

# Copies what comes in, with a secret in each place that is kept for one, and the others at the end.
fill_in() {
    while IFS= read -r line || [ -n "$line" ]; do
        name=${line%=}
        if [ "$line" = "$name=" ] && take "$name"; then
            fill "$name"
        else
            printf '%s\n' "$line"
        fi
    done
    for name in $left; do
        fill "$name"
    done
}

missing=
kept=
for name in $secrets; do
    if has_value "$name"; then
        kept="$kept $name"
    elif [ "$name" = ADMIN_CREDENTIALS ] && has_value ADMIN_CREDENTIALS_FILE; then
        kept="$kept ADMIN_CREDENTIALS_FILE"
    else
        missing="$missing $name"
    fi
done

if [ -n "$missing" ]; then
    template=$file
    [ -e "$file" ] || template=$root/.env.example
    # For nobody else, from the first byte on; and the old file stays whole until the new one is.
    umask 077
    rm -f "$file.new"
    trap 'rm -f "$file.new"' EXIT
    trap 'exit 1' INT TERM HUP
    left="$missing "
    fill_in <"$template" >"$file.new"
    mv "$file.new" "$file"
fi
chmod 600 "$file"

printf 'The secrets of compose are in %s.\n' "$file"
for name in $missing; do
    printf '    made     %s\n' "$name"
done
for name in $kept; do
    printf '    kept     %s\n' "$name"
done
