# shellcheck shell=bash
# Cutting nodes off from each other without root: their links go through a relay that drops what it is told to.
# Uses say.sh, processes.sh and layout.sh.

relay_record() { echo "$STATE/relay/process"; }

relay_control() {
    "$BIN/quorate-relay" ctl --control "$STATE/relay/control" "$@"
}

# Starts the relay, if it does not run.
start_relay() {
    running "$(relay_record)" >/dev/null && return 0
    mkdir -p "$STATE/relay"
    rm -f "$STATE/relay/control"
    local -a routes=()
    local i j
    # Of all that may come, too: a node that joins meanwhile needs its routes.
    for ((i = 1; i <= NODES_MAX; i++)); do
        for ((j = 1; j <= NODES_MAX; j++)); do
            ((i == j)) || routes+=(--route "$i:$j=127.0.0.1:$(route_port "$i" "$j")=127.0.0.1:$(peer_port "$j")")
        done
    done
    launch "$(relay_record)" "$STATE/relay/log" "$BIN/quorate-relay" --control "$STATE/relay/control" "${routes[@]}" ||
        die "the relay did not start: $(tail -n 1 "$STATE/relay/log")"
    local deadline=$((SECONDS + 10))
    until [[ -e $STATE/relay/control ]]; do
        running "$(relay_record)" >/dev/null || die "the relay ended: $(tail -n 1 "$STATE/relay/log")"
        ((SECONDS < deadline)) || die "the relay was not ready after 10 s; see $STATE/relay/log"
        sleep 0.05
    done
}

# Leads all links between nodes through the relay, from the first cut until the next `down`.
route_through_relay() {
    start_relay
    [[ -e $STATE/relay/routed ]] && return 0
    : >"$STATE/relay/routed"
    follow_routes
}

# All nodes read anew by which addresses they reach each other.
follow_routes() {
    local i
    for i in $(nodes); do
        write_config "$i"
        signal "$(node_record "$i")" HUP || true
    done
}

stop_relay() {
    local record
    record=$(relay_record)
    if signal "$record" TERM && ! wait_gone "$record" 5; then
        signal "$record" KILL || true
    fi
    rm -f "$STATE/relay/routed" "$record"
}

# cut_groups "1,2|3,4,5": no packet passes between nodes of different groups.
cut_groups() {
    [[ $1 =~ ^[0-9]+(,[0-9]+)*(\|[0-9]+(,[0-9]+)*)+$ ]] ||
        die "cannot cut '$1': write groups of node numbers, as in \"1,2|3,4,5\""
    local -a groups
    IFS='|' read -ra groups <<<"$1"
    local a b i j
    for i in ${1//[,|]/ }; do
        check_node "$i"
    done
    route_through_relay
    for ((a = 0; a < ${#groups[@]}; a++)); do
        for ((b = a + 1; b < ${#groups[@]}; b++)); do
            for i in ${groups[a]//,/ }; do
                for j in ${groups[b]//,/ }; do
                    relay_control cut "$i" "$j" >/dev/null
                done
            done
        done
    done
}
