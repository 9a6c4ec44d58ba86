#!/bin/sh
# Has nats-server read its configuration again when a file of it has changed, or a certificate that it names:
# Kubernetes writes changed ConfigMaps and Secrets into their volumes, and tells nobody. Runs beside the server, in a
# container that sees its processes and files. What the server refuses changes nothing; its log says why, and it is
# asked again after twelve looks, or as soon as a file changes.
#
#   reload.sh FOLDER PID-FILE [SECONDS]
set -eu

folder=$1
pid_file=$2
pause=${3:-5}

# The values of a setting in the configuration, one a line.
settings() {
    sed -n "s/^[[:space:]]*$1:[[:space:]]*\"\{0,1\}\([^\"#[:space:]]*\).*/\1/p" "$folder"/*.conf
}

# What all files have. One that is away for a moment, while it is replaced, makes a difference too.
# Older macOS has shasum only.
content() {
    {
        cat "$folder"/*.conf
        settings cert_file | while read -r certificate; do cat "$certificate"; done
    } 2>/dev/null | { sha256sum 2>/dev/null || shasum -a 256; }
}

# What the server tells of itself. Its image has wget; where there is none, bash does as well.
varz() {
    port=$(settings http_port)
    if command -v wget >/dev/null; then
        wget -q -T 5 -O - "http://127.0.0.1:$port/varz"
    else
        # shellcheck disable=SC2016 # bash's own variables
        bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0" && printf "GET /varz HTTP/1.0\r\n\r\n" >&3 &&
            while read -r -t 5 -u 3 line; do printf "%s\n" "$line"; done' "$port"
    fi
}

# When the server last took what it had read, in its own words; nothing while it does not answer.
load_time() {
    varz 2>/dev/null | sed -n 's/.*"config_load_time": *"\([^"]*\)".*/\1/p'
}

# Whether the load time is another one than the given one within ten seconds.
is_taken() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        sleep 1
        now=$(load_time)
        [ -z "$now" ] || [ "$now" = "$1" ] || return 0
    done
    return 1
}

# Nothing at first: who knows what the server has read.
loaded=
# What the server has refused, and after how many looks it is asked again.
refused=
looks=0
while sleep "$pause"; do
    found=$(content)
    [ "$found" != "$loaded" ] || continue
    if [ "$found" = "$refused" ] && [ "$looks" -gt 0 ]; then
        looks=$((looks - 1))
        continue
    fi
    before=$(load_time)
    # Without an answer it is starting or ending; the next look will find it.
    if [ -z "$before" ] || ! kill -HUP "$(cat "$pid_file")"; then
        continue
    fi
    if is_taken "$before"; then
        loaded=$found
        refused=
        echo "nats-server has read its configuration again"
    else
        refused=$found
        looks=12
        echo "nats-server has NOT taken its configuration: see its log" >&2
    fi
done
