# Starts, watches and stops the processes of run.sh. Sourced, never run.
# shellcheck shell=bash

# In the order of their start. The servers are the first two, services follow.
declare -a started=() services=()
declare -A pid_of=()
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
    pid_of[$name]=$!
    started+=("$name")
    case $name in
        *-server) ;;
        *) services+=("$name") ;;
    esac
}

is_running() {
    kill -0 "${pid_of[$1]}" 2>/dev/null
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

# Returns when somebody asks to stop; dies when a process ends by itself.
watch_processes() {
    local name
    while ((stop_requested == 0)); do
        wait -n "${pid_of[@]}" || true
        ((stop_requested == 0)) || return 0
        for name in "${started[@]}"; do
            is_running "$name" || die_of "$name"
        done
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
    for name in "${started[@]}"; do
        case $name in
            gateway-*) gateways+=("$name") ;;
            *-server) servers+=("$name") ;;
            *) others+=("$name") ;;
        esac
    done
    say ""
    say "stopping …"
    stop "${gateways[@]}"
    stop "${others[@]}"
    stop "${servers[@]}"
    exit "$status"
}

# Asks processes to end, waits for them, and kills those that are not done in time.
stop() {
    local name deadline=$((SECONDS + SHUTDOWN_GRACE_SECONDS + 5))
    for name in "$@"; do
        kill -TERM "${pid_of[$name]}" 2>/dev/null || true
    done
    for name in "$@"; do
        while is_running "$name"; do
            if ((SECONDS >= deadline)); then
                say "$name did not stop in time and is killed"
                kill -KILL "${pid_of[$name]}" 2>/dev/null || true
                break
            fi
            sleep 0.1 || true
        done
    done
}

kill_all() {
    kill -KILL "${pid_of[@]}" 2>/dev/null || true
}
