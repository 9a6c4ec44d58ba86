#!/usr/bin/env bash
# Makes an authority, and certificates of NATS and Redis that it vouches for, for docker-compose.tls.yml. Where
# there is an authority already, have it issue them: nats.pem for the host nats, redis.pem for redis and
# localhost.
#
#   make-certificates.sh [DAYS]
#
# Run it again before they expire (a year, if no other time is given), then recreate the containers. The
# authority stays the same for as long as its files are there.
set -euo pipefail

days=${1:-365}
folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/files
# The keys are read by the users of the containers, and by nobody who may not enter the folder.
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"

key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
if [[ ! -s ca.key ]]; then
    # A configuration of its own, because the openssl of macOS is LibreSSL.
    openssl req -x509 "${key[@]}" -keyout ca.key -out ca.pem -days 3650 -subj "/CN=Goch" 2>/dev/null -config <(
        printf '%s\n' "[req]" "distinguished_name=name" "x509_extensions=authority" "[name]" "[authority]" \
            "basicConstraints=critical,CA:TRUE" "keyUsage=critical,keyCertSign" "subjectKeyIdentifier=hash")
    chmod 600 ca.key
fi

# issue NAME HOST...
issue() {
    local name=$1 names
    shift
    names=$(printf ',DNS:%s' "$@")
    openssl req "${key[@]}" -keyout "$name.key" -out "$name.csr" -subj "/CN=$name" 2>/dev/null
    openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days "$days" \
        -out "$name.pem" 2>/dev/null -extfile <(printf '%s\n' \
            "subjectAltName=${names#,}" "basicConstraints=CA:FALSE" "extendedKeyUsage=serverAuth")
    rm "$name.csr"
    chmod 644 "$name.key"
}

issue nats nats
issue redis redis localhost
printf 'certificates for %s days are in %s\n' "$days" "$folder"
