# Starts, watches and stops the processes of run.sh. Sourced, never run.
# shellcheck shell=bash

# In the order of their start. The servers are the first two, services follow. bash 3.2 has no arrays by name, so
# the process of started[i] is processes[i].
started=()
processes=()
services=()
stop_requested=0

# start NAME COMMAND [ARGUMENT...]: in the background, its output in a log file of its name.
start() {
    local name=$1
    shift
    # With job control on, a job is a process group of its own: Ctrl-C reaches this script alone, which
    # then stops the others in order.
    set -m
    # shellcheck disable=SC2154
    "$@" </dev/null >"$logs/$name.log" 2>&1 &
    set +m
    processes+=("$!")
    started+=("$name")
    case $name in
        *-server) ;;
        *) services+=("$name") ;;
    esac
}

# signal SIGNAL NAME: 0 is none, and asks whether the process runs.
signal() {
    local i
    for ((i = 0; i < ${#started[@]}; i++)); do
        if [[ ${started[i]} == "$2" ]]; then
            kill "-$1" "${processes[i]}" 2>/dev/null
            return
        fi
    done
    return 1
}

is_running() {
    signal 0 "$1"
}

# wait_until NAME COMMAND [ARGUMENT...]: until the command succeeds, for as long as NAME runs.
wait_until() {
    local name=$1 deadline=$((SECONDS + 60))
    shift
    until "$@" 2>/dev/null; do
        ((stop_requested == 0)) || exit 0
        is_running "$name" || die_of "$name"
        ((SECONDS < deadline)) || die "$name is not ready after a minute; see $logs/$name.log"
        sleep 0.1 || true
    done
}

# Says which process ended although nobody asked it to, and ends the run.
die_of() {
    say ""
    say "--- the end of $logs/$1.log"
    tail -n 20 "$logs/$1.log"
    say "---"
    die "$1 has ended, so everything is stopped"
}

# Returns when somebody asks to stop; dies when a process ends by itself. It looks every half second, because only
# newer shells can wait for whichever ends first.
watch_processes() {
    local name
    while ((stop_requested == 0)); do
        for name in "${started[@]}"; do
            is_running "$name" || ((stop_requested)) || die_of "$name"
        done
        sleep 0.5 || true
    done
}

stop_on_exit() {
    trap 'stop_requested=1' INT TERM HUP
    # A terminal that is gone must not keep the rest from being stopped.
    trap '' PIPE
    trap stop_all EXIT
}

# First those who hold sockets, then those who serve them, then what both stand on.
stop_all() {
    local status=$? name gateways=() others=() servers=()
    set +e
    # What bash itself remarks about killed jobs.
    exec 2>/dev/null
    # Whoever asks a second time does not want to wait.
    trap 'kill_all' INT TERM HUP
    # An empty array is an unknown name to bash before 4.4.
    for name in ${started[@]+"${started[@]}"}; do
        case $name in
            gateway-*) gateways+=("$name") ;;
            *-server) servers+=("$name") ;;
            *) others+=("$name") ;;
        esac
    done
    say ""
    say "stopping …"
    stop ${gateways[@]+"${gateways[@]}"}
    stop ${others[@]+"${others[@]}"}
    stop ${servers[@]+"${servers[@]}"}
    exit "$status"
}

# Asks processes to end, waits for them, and kills those that are not done in time.
stop() {
    local name deadline=$((SECONDS + SHUTDOWN_GRACE_SECONDS + 5))
    for name in "$@"; do
        signal TERM "$name" || true
    done
    for name in "$@"; do
        while is_running "$name"; do
            if ((SECONDS >= deadline)); then
                say "$name did not stop in time and is killed"
                signal KILL "$name" || true
                break
            fi
            sleep 0.1 || true
        done
    done
}

kill_all() {
    ((${#processes[@]} == 0)) || kill -KILL "${processes[@]}" 2>/dev/null || true
}
