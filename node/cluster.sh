#!/usr/bin/env bash
# A Quorate cluster of real processes on this machine. `help` says what it can do.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
STATE=${QUORATE_CLUSTER_DIR:-$ROOT/.quorate}
[[ $STATE == /* ]] || STATE=$PWD/$STATE

# shellcheck source-path=SCRIPTDIR/local
for part in say needs build processes layout relay change files demo churn; do
    # shellcheck source=/dev/null
    source "$ROOT/node/local/$part.sh"
done

# How long a node may take to serve, and to end, seconds.
readonly READY_WAIT=30
readonly STOP_WAIT=12

usage() {
    cat <<END
A Quorate cluster of real processes on this machine.

  cluster.sh up [N]             build, make a cluster of N nodes (5) if there is none, start all, wait until ready
  cluster.sh down               stop all nodes
  cluster.sh start I            start node I and wait until it is ready
  cluster.sh stop I             stop node I: it hands over, flushes and ends
  cluster.sh kill I             kill -9 node I
  cluster.sh pause I, resume I  SIGSTOP and SIGCONT: silent, not dead
  cluster.sh cut "1,2|3,4,5"    no packet passes between these groups of nodes
  cluster.sh heal               all packets pass again
  cluster.sh add [ZONE]         a new node joins; waits until it has its share of the data
  cluster.sh remove I           node I hands over all it holds, and leaves
  cluster.sh replace I          a new node takes over from node I; from a dead one, too, if others have all that it had
  cluster.sh force-remove I     node I is gone for good: the others fill its places. '--accept-loss' if they can't all
  cluster.sh churn [--minutes M]  5 nodes under load join, leave, are replaced and killed for M (10) minutes; then everything
                                that was acknowledged is checked
  cluster.sh backup             back up all nodes, while they serve
  cluster.sh restore I          stop node I, restore it from its latest backup, start it
  cluster.sh status             the processes, and what the cluster says of itself
  cluster.sh logs I [OPTION]    node I's log; options go to tail, such as -f
  cluster.sh env                what a shell needs to use 'quorate': eval "\$(node/cluster.sh env)"
  cluster.sh clean              stop all nodes and delete the cluster with all its data
  cluster.sh demo [DIR]         load the files of DIR, kill a node on the way, bring it back, prove that nothing is lost

Everything is kept below one directory, QUORATE_CLUSTER_DIR or .quorate in the repository, until 'clean'.
QUORATE_BASE_PORT chooses the first UDP port; without it, free ones from $DEFAULT_BASE on are taken.
END
}

node_record() { echo "$STATE/$1/process"; }

check_node() {
    [[ $1 =~ ^[1-9][0-9]?$ && -n $(node_id "$1") ]] ||
        die "there is no node '$1': this cluster has nodes $(nodes | paste -s -d ' ' -)"
}

# Launches node $1 unless it runs. Sets LOG_AT[$1] to where its log goes on.
declare -A LOG_AT=()
launch_node() {
    if running "$(node_record "$1")" >/dev/null; then
        return 0
    fi
    local log=$STATE/$1/log
    LOG_AT[$1]=$(stat -c %s "$log" 2>/dev/null || echo 0)
    launch "$(node_record "$1")" "$log" "$BIN/quorate-node" run --config "$STATE/$1/node.toml" || node_failed "$1" "did not start"
}

node_failed() {
    progress_end
    say "--- the end of $STATE/$1/log"
    tail -n 15 "$STATE/$1/log" >&2 || true
    die "node $1 $2; the end of its log is above"
}

# Waits until node $1, launched before, says that it serves.
wait_node() {
    local at=${LOG_AT[$1]:-} deadline=$((SECONDS + READY_WAIT))
    [[ -n $at ]] || return 0
    until tail -c +$((at + 1)) "$STATE/$1/log" | grep '^ready ' >/dev/null; do
        running "$(node_record "$1")" >/dev/null || node_failed "$1" "ended instead of becoming ready"
        ((SECONDS < deadline)) || node_failed "$1" "was not ready after $READY_WAIT s"
        sleep 0.05
    done
}

up() {
    lock_state
    build
    if has_cluster; then
        load_cluster
        [[ ${1:-$NODES} == "$NODES" ]] ||
            die "the cluster in $STATE has $NODES nodes: 'up' without a number starts them, 'clean' deletes them"
    else
        make_cluster "${1:-5}"
    fi
    start_all
    say "ready: $NODES nodes, clients at ${QUORATE_SEEDS//,/ }"
}

start_all() {
    local i
    [[ ! -e $STATE/relay/routed ]] || start_relay
    for i in $(nodes); do
        launch_node "$i"
    done
    for i in $(nodes); do
        progress "waiting for node $i"
        wait_node "$i"
    done
    wait_cluster
}

# Waits until all nodes reach each other and none is still catching up.
wait_cluster() {
    client_environment
    "$BIN/quorate" status --wait-ready 0 --timeout "${READY_WAIT}s" 2>&1 >/dev/null | show_progress ||
        die "the nodes run but are not ready after $READY_WAIT s; 'quorate status' says: $(tail -n 1 "$STATE/waiting")"
}

# Shows the lines of standard input one in place of the other; keeps them for a message of failure.
show_progress() {
    local line
    : >"$STATE/waiting"
    while read -r line; do
        echo "$line" >>"$STATE/waiting"
        progress "$line"
    done
    progress_end
}

down() {
    stop_processes
    stop_relay
    local i
    for i in $(nodes); do
        write_config "$i"
    done
}

# Ends every node on record, whatever the settings say.
stop_processes() {
    local record node
    for record in "$STATE"/[0-9]*/process; do
        signal "$record" TERM || true
        signal "$record" CONT || true
    done
    for record in "$STATE"/[0-9]*/process; do
        node=$(basename "$(dirname "$record")")
        progress "waiting for node $node to end"
        wait_gone "$record" "$STOP_WAIT" || die "node $node did not end within $STOP_WAIT s: see its log, or kill it"
    done
    progress_end
}

stop_node() {
    signal "$(node_record "$1")" TERM || die "node $1 does not run"
    signal "$(node_record "$1")" CONT || true
    wait_gone "$(node_record "$1")" "$STOP_WAIT" || die "node $1 did not end within $STOP_WAIT s: see '${0##*/} logs $1'"
}

kill_node() {
    signal "$(node_record "$1")" KILL || die "node $1 does not run"
    wait_gone "$(node_record "$1")" 5 || die "node $1 was killed but did not end: its disk may hang"
}

# What node $1 has is set aside, not deleted.
restore_node() {
    if running "$(node_record "$1")" >/dev/null; then
        stop_node "$1"
    fi
    "$BIN/quorate-node" restore --config "$STATE/$1/node.toml" --force || die "node $1 was not restored; 'start $1' starts it as it was"
}

status() {
    local i
    for i in $(nodes); do
        printf 'n%-3s %s\n' "$i" "$(process_state "$(node_record "$i")")"
    done
    client_environment
    "$BIN/quorate" status
}

# A word as the shell reads it: in single quotes unless it needs none.
quoted() {
    if [[ $1 =~ ^[A-Za-z0-9_/.,:@+-]+$ ]]; then printf '%s' "$1"; else printf "'%s'" "${1//\'/\'\\\'\'}"; fi
}

environment() {
    client_environment
    local name
    for name in QUORATE_SEEDS QUORATE_CA QUORATE_CERT QUORATE_KEY; do
        printf 'export %s=%s\n' "$name" "$(quoted "${!name}")"
    done
    printf "export PATH=%s:\"\$PATH\"\n" "$(quoted "$BIN")"
}

clean() {
    [[ -e $STATE ]] || return 0
    # The clusters that a demo or a churn left behind.
    local inner
    for inner in demo churn; do
        if [[ -e $STATE/$inner ]]; then
            QUORATE_CLUSTER_DIR=$STATE/$inner "${BASH_SOURCE[0]}" clean
        fi
    done
    lock_state
    stop_processes
    stop_relay
    rm -rf "${STATE:?}"
}

main() {
    local command=${1:-help}
    shift || true
    case $command in
    up) up "$@" ;;
    clean) clean ;;
    demo) demo "$@" ;;
    churn) churn "$@" ;;
    help | -h | --help) usage ;;
    status)
        load_cluster
        find_programs
        status
        ;;
    backup)
        load_cluster
        find_programs
        client_environment
        "$BIN/quorate" backup create --wait
        ;;
    env)
        load_cluster
        find_programs
        environment
        ;;
    logs)
        load_cluster
        check_node "${1:-}"
        tail "${@:2}" "$STATE/$1/log"
        ;;
    down | start | stop | kill | restore | pause | resume | cut | heal | add | remove | replace | force-remove)
        load_cluster
        lock_state
        change "$command" "$@"
        ;;
    *) die "there is no command '$command': see '${0##*/} help'" ;;
    esac
}

# Commands that act on a cluster that is there.
change() {
    local command=$1 argument=${2:-}
    case $command in
    start | stop | kill | restore | pause | resume | remove | replace | force-remove) check_node "$argument" ;;
    esac
    case $command in
    start | restore | cut | heal | add | remove | replace | force-remove) find_programs ;;
    esac
    case $command in
    down) down ;;
    start)
        launch_node "$argument"
        wait_node "$argument"
        ;;
    add) add_node "$argument" ;;
    remove) remove_node "$argument" ;;
    replace) replace_node "$argument" "${@:3}" ;;
    force-remove) force_remove_node "$argument" "${@:3}" ;;
    stop) stop_node "$argument" ;;
    kill) kill_node "$argument" ;;
    restore)
        restore_node "$argument"
        launch_node "$argument"
        wait_node "$argument"
        ;;
    pause) signal "$(node_record "$argument")" STOP || die "node $argument does not run" ;;
    resume) signal "$(node_record "$argument")" CONT || die "node $argument does not run" ;;
    cut) cut_groups "$argument" ;;
    heal) [[ ! -e $STATE/relay/routed ]] || relay_control heal >/dev/null ;;
    esac
}

main "$@"
