#!/bin/sh
# Starts Redis with the users of users.conf, whose passwords are in the environment:
# REDIS_CHAT_ADMIN_PASSWORD, REDIS_INGEST_HISTORY_PASSWORD and REDIS_OPERATOR_PASSWORD.
#
#   start.sh [OPTION OF redis-server...]
#
# REDIS_MAXMEMORY is how much memory its data may take, 640mb unless told otherwise. A container's limit must leave
# as much as half of that beside it: pages that change while the file is written anew are there twice, and the
# allocator cannot use all that it has. Redis that is killed for its memory reads its file and is killed again.
#
# REDIS_PREFIX, if it is not goch, is what the services' keys begin with. REDIS_SERVER names another program
# than redis-server. For a POSIX shell, because the image of Redis has no other.
set -eu

folder=$(cd "$(dirname "$0")" && pwd)

# What an ACL knows of a password. So it may have any characters. Older macOS has shasum only.
digest() {
    sum=$(printf '%s' "$1" | { sha256sum 2>/dev/null || shasum -a 256; })
    printf '%s' "${sum%% *}"
}

# Without a password, a user would be one whose password is empty.
chat_admin=$(digest "${REDIS_CHAT_ADMIN_PASSWORD:?is required}")
ingest_history=$(digest "${REDIS_INGEST_HISTORY_PASSWORD:?is required}")
operator=$(digest "${REDIS_OPERATOR_PASSWORD:?is required}")
users=$(sed -e "s/REDIS_CHAT_ADMIN_PASSWORD/$chat_admin/" \
    -e "s/REDIS_INGEST_HISTORY_PASSWORD/$ingest_history/" \
    -e "s/REDIS_OPERATOR_PASSWORD/$operator/" \
    -e "s/~goch:/~${REDIS_PREFIX:-goch}:/g" "$folder/users.conf")
unset REDIS_CHAT_ADMIN_PASSWORD REDIS_INGEST_HISTORY_PASSWORD REDIS_OPERATOR_PASSWORD

# `-` is standard input: no file is written, and no argument tells a digest to whoever lists processes.
exec "${REDIS_SERVER:-redis-server}" "$folder/redis.conf" --maxmemory "${REDIS_MAXMEMORY:-640mb}" "$@" - <<USERS
$users
USERS
