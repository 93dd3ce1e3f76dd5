# shellcheck shell=bash
# The main job on real input: store files, lose a node on the way, get it back, prove that nothing is lost.
# Uses all the other parts.

readonly DEMO_NODES=5
readonly DEMO_VICTIM=2
# How long hints and lag may take to reach 0 once the node is back, seconds.
readonly DEMO_IDLE_WAIT=300

# demo [DIR]: in a cluster of its own, below the directory of clusters.
demo() {
    local files=${1:-} began=$SECONDS
    [[ -z $files || -d $files ]] || die "'$files' is no directory"
    [[ -z $files ]] || files=$(cd "$files" && pwd -P)
    mark_state
    STATE=$STATE/demo
    clean
    lock_state
    build
    say "Preparing the files."
    prepare_files "$STATE/input" "$files"
    say "Starting $DEMO_NODES nodes."
    make_cluster "$DEMO_NODES"
    # Whatever happens, no process is left behind.
    trap down EXIT
    start_all
    demo_walk
    demo_report $((SECONDS - began))
}

# What happens to the cluster and to the data.
demo_walk() {
    local count
    count=$(wc -l <"$STATE/input/list.after")
    say "Storing the first half, and old values under some keys of the second."
    demo_load before
    make_older_values
    demo_load older
    say "Storing the second half; node $DEMO_VICTIM is killed on the way."
    ((count >= 500)) || kill_node "$DEMO_VICTIM"
    demo_load after &
    local load=$!
    if ((count >= 500)); then
        sleep 0.3
        kill_node "$DEMO_VICTIM"
    fi
    wait "$load" || die "the load failed; its message is above"
    demo_hints before_return
    say "Bringing node $DEMO_VICTIM back, and reading through it at once what it has missed."
    launch_node "$DEMO_VICTIM"
    wait_node "$DEMO_VICTIM"
    local began=$SECONDS
    demo_verify after "n$DEMO_VICTIM" returning
    say "Waiting until all replicas have the same, and no hint is left."
    "$BIN/quorate" converged --wait --timeout "${DEMO_IDLE_WAIT}s" 2>&1 >/dev/null | show_progress ||
        die "not converged after $DEMO_IDLE_WAIT s: $(tail -n 1 "$STATE/waiting")"
    IDLE_SECONDS=$((SECONDS - began))
    demo_hints after_return
    say "Reading everything back at r = 1, 2 and 3 through each node, and comparing checksums."
    demo_verify before each before
    demo_verify after each after
}

# One key in ten of the second half holds something else before; a read that finds this later is stale.
make_older_values() {
    local name
    awk -F '\t' 'NR % 10 == 1 { print $2 }' "$STATE/input/list.after" | while IFS= read -r name; do
        [[ $name != */* ]] || mkdir -p "$STATE/input/older/${name%/*}"
        mkdir -p "$STATE/input/older"
        echo "an older value of $name" >"$STATE/input/older/$name"
    done
}

demo_load() {
    "$BIN/quorate" load default "$STATE/input/$1" --json >"$STATE/load.$1" || true
    grep '"stored"' "$STATE/load.$1" >/dev/null || die "loading failed: $(cat "$STATE/load.$1")"
}

# demo_verify HALF NODES RESULT
demo_verify() {
    "$BIN/quorate" verify default "$STATE/input/$1" --r 1,2,3 --through "$2" --json >"$STATE/verify.$3" || true
    grep '"passes"' "$STATE/verify.$3" >/dev/null || die "comparing failed: $(cat "$STATE/verify.$3")"
}

demo_hints() {
    "$BIN/quorate" handoff --json >"$STATE/handoff.$1"
}

# sum NAME FILE...: of all numbers of this name in files of JSON.
sum() {
    cat "${@:2}" | grep -o "\"$1\":[0-9]*" | awk -F : '{ sum += $2 } END { print sum + 0 }'
}

# sum_passes NAME: over all passes of all comparisons. The totals that stand beside the passes are not counted again.
sum_passes() {
    sed -E 's/.*"passes":\[//; s/\],"skipped".*//' "$STATE"/verify.* >"$STATE/passes"
    sum "$1" "$STATE/passes"
}

demo_report() {
    local keys errors not_found stale expected compared
    keys=$(sum stored "$STATE/load.before" "$STATE/load.after")
    errors=$(($(sum errors "$STATE"/load.*) + $(sum_passes errors)))
    not_found=$(sum_passes not_found)
    stale=$(sum_passes mismatches)
    compared=$(sum_passes keys)
    expected=$(($(wc -l <"$STATE/input/list") * DEMO_NODES * 3 + $(wc -l <"$STATE/input/list.after") * 3))
    printf '%-28s %s\n' \
        keys "$keys" \
        bytes "$(sum bytes "$STATE/load.before" "$STATE/load.after")" \
        'reads compared' "$compared" \
        errors "$errors" \
        'writes tried again' "$(sum retried "$STATE"/load.*)" \
        'not found' "$not_found" \
        'stale or wrong values' "$stale" \
        'hints kept, then delivered' "$(sum pending "$STATE/handoff.before_return"), $(sum delivered "$STATE/handoff.after_return")" \
        'return to idle' "$IDLE_SECONDS s" \
        'time in all' "$1 s"
    if ((errors + not_found + stale > 0)); then
        die "not everything came back as it was stored; the answers are in $STATE/verify.*"
    fi
    ((compared == expected)) || die "$compared reads were compared, not $expected: something was left out"
    say "Every byte came back. The cluster's data is in $STATE; '${0##*/} demo' starts anew."
}
