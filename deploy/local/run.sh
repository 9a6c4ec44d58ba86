#!/usr/bin/env bash
# `make run`: the whole system on this machine, until Ctrl-C. Called through servers.sh, which names
# the two servers. Everything that is kept is kept in the folder data/.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source-path=SCRIPTDIR source=lib.sh
source deploy/local/lib.sh
# shellcheck source-path=SCRIPTDIR source=processes.sh
source deploy/local/processes.sh

: "${GATEWAYS:=1}"
: "${HOST:=127.0.0.1}"
: "${GATEWAY_PORT:=8080}"
: "${ADMIN_PORT:=8090}"
: "${NATS_PORT:=4322}"
: "${REDIS_PORT:=6479}"
: "${HEALTH_PORT:=9100}"
: "${ADMIN_CREDENTIALS:=}"
: "${DATA:=$PWD/data}"
: "${SHUTDOWN_GRACE_SECONDS:=25}"
# Less than by default: NATS wants what it promises to be free on the disk.
: "${LOG_MAX_BYTES:=1073741824}"
: "${BUCKETS_MAX_BYTES:=268435456}"
[[ $GATEWAYS =~ ^[1-9][0-9]?$ ]] || die "GATEWAYS must be 1 to 99, and is $GATEWAYS"

[[ $DATA == /* ]] || DATA=$PWD/$DATA
binaries=${CARGO_TARGET_DIR:-target}/release
logs=$DATA/logs
credentials_file=$DATA/admin-credentials

# The servers' passwords are needed by nobody else, so each run has its own.
NATS_GATEWAY_PASSWORD=$(new_password)
NATS_CHAT_ADMIN_PASSWORD=$(new_password)
NATS_INGEST_HISTORY_PASSWORD=$(new_password)
NATS_BROKER_BRIDGE_PASSWORD=$(new_password)
REDIS_CHAT_ADMIN_PASSWORD=$(new_password)
REDIS_INGEST_HISTORY_PASSWORD=$(new_password)
REDIS_OPERATOR_PASSWORD=$(new_password)

check_ports() {
    local port
    for ((port = GATEWAY_PORT; port < GATEWAY_PORT + GATEWAYS; port++)); do
        check_port "$port" GATEWAY_PORT
    done
    check_port "$ADMIN_PORT" ADMIN_PORT
    check_port "$NATS_PORT" NATS_PORT
    check_port "$REDIS_PORT" REDIS_PORT
    for ((port = HEALTH_PORT; port < HEALTH_PORT + 3 + GATEWAYS; port++)); do
        check_port "$port" HEALTH_PORT
    done
}

check_port() {
    ! port_is_taken "$1" || die "port $1 is taken; choose another one with $2=… make run"
}

build() {
    say "building (the first time, this takes minutes) …"
    cargo build --release -p gateway -p chat-admin -p ingest-history -p broker-bridge
}

start_servers() {
    start nats-server env \
        NATS_GATEWAY_PASSWORD="$NATS_GATEWAY_PASSWORD" \
        NATS_CHAT_ADMIN_PASSWORD="$NATS_CHAT_ADMIN_PASSWORD" \
        NATS_INGEST_HISTORY_PASSWORD="$NATS_INGEST_HISTORY_PASSWORD" \
        NATS_BROKER_BRIDGE_PASSWORD="$NATS_BROKER_BRIDGE_PASSWORD" \
        "$NATS_SERVER" -c deploy/local/nats.conf -a 127.0.0.1 -p "$NATS_PORT" -sd "$DATA/nats"
    start redis-server env \
        REDIS_SERVER="$REDIS_SERVER" \
        REDIS_CHAT_ADMIN_PASSWORD="$REDIS_CHAT_ADMIN_PASSWORD" \
        REDIS_INGEST_HISTORY_PASSWORD="$REDIS_INGEST_HISTORY_PASSWORD" \
        REDIS_OPERATOR_PASSWORD="$REDIS_OPERATOR_PASSWORD" \
        deploy/redis/start.sh --bind 127.0.0.1 --port "$REDIS_PORT" --dir "$DATA/redis"
    wait_until nats-server port_is_taken "$NATS_PORT"
    wait_until redis-server port_is_taken "$REDIS_PORT"
}

# start_service NAME BINARY HEALTH_PORT NATS_PASSWORD [VARIABLE=VALUE...]
start_service() {
    local name=$1 binary=$2 health=$3 password=$4
    shift 4
    start "$name" env \
        NATS_URL="nats://127.0.0.1:$NATS_PORT" NATS_PREFIX=goch \
        NATS_USER="$binary" NATS_PASSWORD="$password" \
        HEALTH_ADDRESS="127.0.0.1:$health" \
        SHUTDOWN_GRACE_SECONDS="$SHUTDOWN_GRACE_SECONDS" \
        "$@" "$binaries/$binary"
}

start_services() {
    local redis=127.0.0.1:$REDIS_PORT health=$HEALTH_PORT gateway
    start_service broker-bridge broker-bridge $((health++)) "$NATS_BROKER_BRIDGE_PASSWORD" \
        LOG_MAX_BYTES="$LOG_MAX_BYTES" BUCKETS_MAX_BYTES="$BUCKETS_MAX_BYTES"
    start_service chat-admin chat-admin $((health++)) "$NATS_CHAT_ADMIN_PASSWORD" \
        REDIS_URL="redis://chat-admin:$REDIS_CHAT_ADMIN_PASSWORD@$redis" \
        LISTEN_ADDRESS="$HOST:$ADMIN_PORT" \
        ADMIN_CREDENTIALS="$ADMIN_CREDENTIALS" \
        ADMIN_CREDENTIALS_FILE="$credentials_file_used"
    start_service ingest-history ingest-history $((health++)) "$NATS_INGEST_HISTORY_PASSWORD" \
        REDIS_URL="redis://ingest-history:$REDIS_INGEST_HISTORY_PASSWORD@$redis"
    for ((gateway = 0; gateway < GATEWAYS; gateway++)); do
        start_service "gateway-$((gateway + 1))" gateway $((health++)) "$NATS_GATEWAY_PASSWORD" \
            LISTEN_ADDRESS="$HOST:$((GATEWAY_PORT + gateway))"
    done

    health=$HEALTH_PORT
    local name
    for name in "${services[@]}"; do
        wait_until "$name" deploy/probe.sh 127.0.0.1 $((health++)) /readyz
    done
}

# As a ticketing system opens a channel. It may be there from the last time.
create_demo_channel() {
    local status
    status=$(ADMIN_CREDENTIAL=$(first_credential) \
        deploy/local/create-channel.sh "$HOST" "$ADMIN_PORT" demo)
    [[ $status == 201 || $status == 409 ]] ||
        die "chat-admin answered $status to the request for the demo channel; see $logs/chat-admin.log"
}

print_addresses() {
    local gateway
    say ""
    say "Goch runs. Open this page, in several windows if you like:"
    say ""
    for ((gateway = 0; gateway < GATEWAYS; gateway++)); do
        say "    http://$HOST:$((GATEWAY_PORT + gateway))/?channel=demo"
    done
    say ""
    say "    for ticketing   http://$HOST:$ADMIN_PORT   credentials in ${credentials_file_used:-ADMIN_CREDENTIALS}"
    say "    logs            $logs"
    say "    kept data       $DATA (make clean-data removes it)"
    say ""
    say "Ports come from GATEWAY_PORT=$GATEWAY_PORT ADMIN_PORT=$ADMIN_PORT NATS_PORT=$NATS_PORT" \
        "REDIS_PORT=$REDIS_PORT HEALTH_PORT=$HEALTH_PORT,"
    say "gateways from GATEWAYS=$GATEWAYS."
    say "Ctrl-C stops everything."
}

# Without credentials from outside there are our own: made once, and kept with the data.
make_credentials() {
    credentials_file_used=
    [[ -z $ADMIN_CREDENTIALS ]] || return 0
    credentials_file_used=$credentials_file
    [[ -s $credentials_file ]] ||
        (umask 077 && printf 'admin:%s\n' "$(new_password)" >"$credentials_file")
}

first_credential() {
    if [[ -n $ADMIN_CREDENTIALS ]]; then
        printf '%s' "${ADMIN_CREDENTIALS%%,*}"
    else
        grep -m 1 -v -e '^#' -e '^$' "$credentials_file"
    fi
}

check_ports
build
mkdir -p "$DATA/logs" "$DATA/nats" "$DATA/redis"
make_credentials
stop_on_exit
start_servers
start_services
create_demo_channel
print_addresses
watch_processes
