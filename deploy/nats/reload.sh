#!/bin/sh
# Has nats-server read its configuration again when a file of it has changed: Kubernetes writes a changed
# ConfigMap into the volume, and tells nobody. Runs beside the server, in a container that sees its processes.
# A file with a fault changes nothing; the server's log says so.
#
#   reload.sh FOLDER PID-FILE [SECONDS]
set -eu

folder=$1
pid_file=$2
pause=${3:-5}

content() {
    cat "$folder"/*.conf | sha256sum
}

# At the first look, too: who knows what the server has read.
loaded=
while sleep "$pause"; do
    found=$(content)
    # It fails while the server starts or ends; then it is told at the next look.
    if [ "$found" != "$loaded" ] && kill -HUP "$(cat "$pid_file")"; then
        loaded=$found
        echo "nats-server reads its configuration again"
    fi
done
