# shellcheck shell=bash
# Nodes join, leave, are replaced and lost under a constant load, with a kill -9 at every change; then everything that was
# acknowledged is checked. Uses all the other parts.

readonly CHURN_NODES=5
# What happens, over and over: with 5 nodes before and after.
readonly CHURN_CHANGES=(add replace remove add force-remove replace-dead)
# The load: keys, clients, operations a second.
readonly CHURN_KEYS=100000
readonly CHURN_CLIENTS=16
readonly CHURN_RATE=800

# churn [--minutes M]: in a cluster of its own, below the directory of clusters.
churn() {
    local minutes=10
    case ${1:-} in
    --minutes) minutes=${2:-} ;;
    '') ;;
    *) die "churn: there is no option '$1': only --minutes M" ;;
    esac
    [[ $minutes =~ ^[1-9][0-9]*$ ]] || die "churn: '$minutes' is no number of minutes"
    mark_state
    STATE=$STATE/churn
    clean
    lock_state
    build
    build_bench
    say "Starting $CHURN_NODES nodes."
    make_cluster "$CHURN_NODES"
    # Whatever happens, no process is left behind.
    trap churn_end EXIT
    start_all
    churn_load
    churn_changes $((SECONDS + minutes * 60))
    churn_report
}

# The load generator is built for this alone, and copied as the other programs are.
build_bench() {
    (cd "$ROOT" && cargo build --locked -p quorate-bench --features processes --bin quorate-bench >&2) ||
        die "the build of the load generator failed; the compiler's messages are above"
    cp "$(target_directory)/debug/quorate-bench" "$STATE/bin/quorate-bench"
}

# Starts the load. It ends by itself when $STATE/stop is there.
churn_load() {
    client_environment
    launch "$STATE/load.process" "$STATE/load.log" "$BIN/quorate-bench" churn --keys "$CHURN_KEYS" \
        --clients "$CHURN_CLIENTS" --rate "$CHURN_RATE" --until "$STATE/stop" --json "$STATE/load.json" ||
        die "the load did not start: $(tail -n 1 "$STATE/load.log")"
    sleep 2
}

churn_end() {
    touch "$STATE/stop"
    wait
    signal "$STATE/load.process" TERM || true
    down
}

# churn_changes END: one change after the other, until this many seconds of the script have passed.
churn_changes() {
    local at=0 change began
    : >"$STATE/changes"
    while ((SECONDS < $1)); do
        running "$STATE/load.process" >/dev/null || die "the load ended: $(tail -n 3 "$STATE/load.log")"
        change=${CHURN_CHANGES[at % ${#CHURN_CHANGES[@]}]}
        at=$((at + 1))
        began=$SECONDS
        progress "change $at: $change"
        # In a process of its own: what fails in it is told, and ends the run.
        (churn_change "$change" >>"$STATE/changes.log" 2>&1) ||
            die "the change '$change' failed: $(tail -n 3 "$STATE/changes.log")"
        echo "$change $((SECONDS - began))" >>"$STATE/changes"
    done
    progress_end
}

# One change, with one kill.
churn_change() {
    local subject victim
    subject=$(nodes | shuf -n 1)
    victim=$(nodes | awk -v not="$subject" '$1 != not' | shuf -n 1)
    say "--- $(date -u +%T) $1: node $subject; node $victim is killed"
    case $1 in
    add)
        churn_kill "$victim" &
        add_node ''
        ;;
    remove)
        churn_kill "$victim" &
        remove_node "$subject"
        ;;
    replace)
        churn_kill "$victim" &
        replace_node "$subject"
        ;;
    replace-dead)
        kill_node "$subject"
        sleep 2
        replace_node "$subject"
        ;;
    force-remove) force_remove_node "$subject" ;;
    esac
    wait
    # The next change takes nobody away before this node has caught up.
    "$BIN/quorate" wait --healthy --timeout 120s >&2
}

# Kills a node while classes move, and starts it again.
churn_kill() {
    sleep "0.$((RANDOM % 10))"
    sleep $((RANDOM % 3))
    kill_node "$1"
    say "$(date -u +%T) node $1 killed"
    sleep $((1 + RANDOM % 3))
    launch_node "$1"
    say "$(date -u +%T) node $1 started"
}

churn_report() {
    local patience=$((SECONDS + 600))
    touch "$STATE/stop"
    say "The changes are over; waiting until all replicas have the same, then reading everything back."
    while running "$STATE/load.process" >/dev/null; do
        ((SECONDS < patience)) || die "the last check did not end in 600 s; see $STATE/load.log"
        sleep 0.5
    done
    sort "$STATE/changes" | awk '
        { count[$1]++; sum[$1] += $2; if ($2 > most[$1]) most[$1] = $2; if (!seen[$1]++) order[++kinds] = $1 }
        END {
            for (at = 1; at <= kinds; at++) {
                kind = order[at]
                printf "%-28s %d, %.1f s on average, %d s at most\n", kind, count[kind], sum[kind] / count[kind], most[kind]
            }
        }'
    grep -vE '^[0-9.]+ s: |^  read again' "$STATE/load.log" || true
    "$BIN/quorate" converged --wait --timeout 60s >&2 || die "not converged"
    grep '"clean": true' "$STATE/load.json" >/dev/null ||
        die "not everything is as it must be; see $STATE/load.log and $STATE/changes.log"
}
