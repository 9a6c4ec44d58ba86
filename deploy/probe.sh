#!/usr/bin/env bash
# Exits 0 when an HTTP GET is answered with status 200. Needs bash only: a slim image has no curl.
#
#   probe.sh HOST PORT PATH
set -euo pipefail

host=$1 port=$2 path=$3

exec 3<>"/dev/tcp/$host/$port"
printf 'GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$path" "$host" >&3
read -r -t 3 -u 3 _ status _
[[ $status == 200 ]]
