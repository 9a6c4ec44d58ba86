#!/usr/bin/env bash
# Creates a public channel through chat-admin's REST API and prints the status of the answer. What
# `curl -u user:password --json '{"name":…}' http://…/v1/admin/channels` does, where curl is missing.
#
#   ADMIN_CREDENTIAL=name:password create-channel.sh HOST PORT CHANNEL
set -euo pipefail

host=$1 port=$2 channel=$3

# Some programs of this name break lines.
credentials=$(printf '%s' "$ADMIN_CREDENTIAL" | base64 | tr -d '\n')
body=$(printf '{"name":"%s","is_private":false}' "$channel")

exec 3<>"/dev/tcp/$host/$port"
printf '%s\r\n' \
    "POST /v1/admin/channels HTTP/1.1" \
    "Host: $host:$port" \
    "Authorization: Basic $credentials" \
    "Content-Type: application/json" \
    "Content-Length: ${#body}" \
    "Connection: close" \
    "" >&3
printf '%s' "$body" >&3
read -r -t 10 -u 3 _ status _
printf '%s\n' "$status"
