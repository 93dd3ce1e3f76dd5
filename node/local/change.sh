# shellcheck shell=bash
# Nodes that come and go while the others serve. Uses say.sh, processes.sh, layout.sh, relay.sh and the main script.
#
# A change is staged, shown, committed, and waited for. What is interrupted goes on by itself: 'quorate wait --settled'.

# How long the moving of data may take, seconds.
readonly SETTLE_WAIT=600

# Runs `quorate`, its standard output on standard error: results of these commands are for people.
tool() {
    "$BIN/quorate" "$@" >&2
}

# The lowest number that no node has.
free_number() {
    local i
    for ((i = 1; i <= NODES_MAX; i++)); do
        [[ -n $(node_id "$i") || -e $STATE/$i ]] || {
            echo "$i"
            return
        }
    done
    die "a local cluster has at most $NODES_MAX nodes"
}

# What others have staged would be committed with ours.
check_nothing_staged() {
    local staged
    staged=$("$BIN/quorate" cluster plan --json 2>&1) || return 0
    die "changes are staged already: 'quorate cluster plan' shows them, 'commit' or 'clear' them first ($staged)"
}

# stage_newcomer COMMAND...: stages it for a new node in zone ZONE and starts that one, which then waits to be taken in.
# Sets NEWCOMER to its number.
stage_newcomer() {
    local i made id
    i=$(free_number)
    mkdir -p "$STATE/joining"
    made=$("$BIN/quorate" cluster "$@" --json --node "$(describe "$i" "${ZONE:-}")" --authority "$STATE/cluster" \
        --out "$STATE/joining" --force) || give_up "the change could not be staged"
    id=$(sed -nE 's/.*"id":"([0-9a-f]{16})".*/\1/p' <<<"$made")
    [[ -n $id ]] || give_up "'quorate cluster $1' did not name the new node: $made"
    cp -p "$STATE/joining/n$i.pem" "$STATE/joining/n$i.key" "$STATE/cluster/nodes/"
    printf '%s\n' "$i $id" | sort -n -o "$STATE/members.new" - "$STATE/members"
    mv "$STATE/members.new" "$STATE/members"
    make_node "$i" "$STATE/joining/cluster.map"
    rm -rf "${STATE:?}/joining"
    [[ ! -e $STATE/relay/routed ]] || follow_routes
    launch_node "$i"
    wait_node "$i"
    NEWCOMER=$i
}

# Nothing stays staged of what failed.
give_up() {
    "$BIN/quorate" cluster clear >/dev/null 2>&1 || true
    die "$1"
}

# commit_staged [NAME]: shows the plan and commits it. The data of node NAME may be lost.
commit_staged() {
    local plan losses digest
    tool cluster plan || give_up "there is no plan for the change"
    plan=$("$BIN/quorate" cluster plan --json) || give_up "there is no plan for the change"
    digest=$(sed -nE 's/.*"plan":"([0-9a-f]+)".*/\1/p' <<<"$plan")
    losses=$(sed -E 's/.*"losses":\[([^]]*)\].*/\1/' <<<"$plan")
    local -a allowed=()
    if [[ -n $losses ]]; then
        [[ -n ${1:-} ]] || give_up "nobody else may have the latest of what the node has: start it, or say '--accept-loss'"
        allowed=(--loss-of "$1")
    fi
    # On a local cluster a warning, such as of fewer copies than wanted, is to be read, not a reason to stop.
    tool cluster commit --plan "$digest" --force "${allowed[@]}" || give_up "the change could not be committed"
}

# Waits until nothing moves any more.
wait_settled() {
    "$BIN/quorate" wait --settled --timeout "${SETTLE_WAIT}s" 2>&1 >/dev/null | show_progress ||
        die "not finished after $SETTLE_WAIT s, it goes on by itself: $(tail -n 1 "$STATE/waiting")"
}

# Node $1 is no member any more: its process ends, its files go.
drop_node() {
    if running "$(node_record "$1")" >/dev/null; then
        stop_node "$1"
    fi
    awk -v gone="$1" '$1 != gone' "$STATE/members" >"$STATE/members.new"
    mv "$STATE/members.new" "$STATE/members"
    rm -rf "${STATE:?}/$1" "$STATE/cluster/nodes/n$1.pem" "$STATE/cluster/nodes/n$1.key"
    [[ ! -e $STATE/relay/routed ]] || follow_routes
}

# Says how the cluster is now; for scripts, the number of the node that came.
changed() {
    say "$1; nodes are now $(nodes | paste -s -d ' ' -)"
}

add_node() {
    ZONE=$1
    client_environment
    check_nothing_staged
    stage_newcomer join
    commit_staged
    wait_settled
    changed "node $NEWCOMER has joined"
    echo "$NEWCOMER"
}

remove_node() {
    running "$(node_record "$1")" >/dev/null ||
        die "node $1 does not run and cannot hand over: 'start $1', or 'force-remove $1' if it is gone for good"
    client_environment
    check_nothing_staged
    tool cluster leave "n$1" || die "the change could not be staged"
    commit_staged
    wait_settled
    drop_node "$1"
    changed "node $1 has left"
}

# replace_node I [--accept-loss]
replace_node() {
    local accept
    accept=$(accepted_loss "$@")
    client_environment
    check_nothing_staged
    if running "$(node_record "$1")" >/dev/null; then
        stage_newcomer replace "n$1"
        commit_staged
    else
        tool cluster force-remove "n$1" || die "the change could not be staged"
        stage_newcomer join
        commit_staged "$accept"
        tool cluster forget "n$1" || say "node $1 is removed; if the others wait for what it held: 'quorate cluster forget n$1'"
    fi
    wait_settled
    drop_node "$1"
    changed "node $NEWCOMER has taken over from node $1"
    echo "$NEWCOMER"
}

# force_remove_node I [--accept-loss]
force_remove_node() {
    local accept
    accept=$(accepted_loss "$@")
    client_environment
    check_nothing_staged
    if running "$(node_record "$1")" >/dev/null; then
        kill_node "$1"
    fi
    tool cluster force-remove "n$1" || die "the change could not be staged"
    commit_staged "$accept"
    tool cluster forget "n$1" || say "node $1 is removed; if the others wait for what it held: 'quorate cluster forget n$1'"
    wait_settled
    drop_node "$1"
    changed "node $1 is removed"
}

# accepted_loss I [--accept-loss]: the name of node I, if its data may be lost.
accepted_loss() {
    case ${2:-} in
    --accept-loss) echo "n$1" ;;
    '') ;;
    *) die "there is no option '$2' here: only --accept-loss" ;;
    esac
}
