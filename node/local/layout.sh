# shellcheck shell=bash
# A local cluster's directory: making it, its settings, each node's configuration. Uses say.sh; BIN holds the programs.
#
#   layout               marks the directory as one that `clean` may delete
#   settings             first port; written last when a cluster is made
#   bin/                 the programs, as they were when `up` built them last
#   members              each node's number and id; numbers may have gaps
#   cluster/             what `quorate cluster create` made: map, authority, certificates
#   N/                   node N: node.toml, data, log, and the record of its process
#   relay/               the relay's control socket, log and process record; `routed` while nodes use it

# Ports: peers at base + N, clients at base + 100 + N, the relay's routes from base + 200 on.
readonly NODES_MAX=16
readonly DEFAULT_BASE=7400

peer_port() { echo $((BASE + $1)); }
client_port() { echo $((BASE + 100 + $1)); }
route_port() { echo $((BASE + 200 + ($1 - 1) * NODES_MAX + $2 - 1)); }

# The numbers of all nodes, ascending.
nodes() { cut -d ' ' -f 1 "$STATE/members"; }

node_id() { awk -v node="$1" '$1 == node { print $2 }' "$STATE/members"; }

has_cluster() {
    [[ -f $STATE/settings ]]
}

# Sets NODES, the number of nodes, and BASE from what `up` left behind.
load_cluster() {
    has_cluster || die "there is no cluster in $STATE: make one with '${0##*/} up'"
    read -r BASE <"$STATE/settings"
    [[ $BASE =~ ^[0-9]+$ ]] || die "$STATE/settings is damaged: it should hold one number"
    NODES=$(wc -l <"$STATE/members")
}

# Sets BIN to where `up` put the programs.
find_programs() {
    BIN=$STATE/bin
    [[ -x $BIN/quorate-node && -x $BIN/quorate ]] || die "the programs are not in $BIN: '${0##*/} up' builds them"
}

# Makes the directory, unless it is there, and marks it as one of ours.
mark_state() {
    if [[ -d $STATE && ! -f $STATE/layout && -n $(ls -A "$STATE") ]]; then
        die "$STATE is not empty and no local cluster's directory: choose another one in QUORATE_CLUSTER_DIR"
    fi
    mkdir -p "$STATE"
    [[ -f $STATE/layout ]] || echo 1 >"$STATE/layout"
}

# Takes the directory for this script until it ends.
lock_state() {
    mark_state
    exec 9>"$STATE/lock"
    flock -w 60 9 || die "another ${0##*/} works on $STATE and did not end within a minute"
}

# The UDP ports in use, one each line.
taken_ports() {
    local port
    sed -nE 's/^ *[0-9]+: [0-9A-F]+:([0-9A-F]{4}) .*/\1/p' /proc/net/udp /proc/net/udp6 2>/dev/null |
        while read -r port; do echo $((16#$port)); done
}

# Prints the first port that a cluster would need from BASE on, as large as it may grow, and that is taken.
port_conflict() {
    local last
    last=$(route_port "$NODES_MAX" "$NODES_MAX")
    taken_ports | awk -v base="$BASE" -v nodes="$NODES_MAX" -v last="$last" '
        { at = $1 - base }
        (at >= 1 && at <= nodes) || (at > 100 && at <= 100 + nodes) || (at >= 200 && $1 <= last) { print $1; exit }'
}

choose_ports() {
    local conflict
    BASE=${QUORATE_BASE_PORT:-$DEFAULT_BASE}
    [[ $BASE =~ ^[0-9]{4,5}$ && $BASE -ge 1024 && $BASE -le 65000 ]] ||
        die "QUORATE_BASE_PORT is '$BASE': give a number from 1024 to 65000"
    while conflict=$(port_conflict) && [[ -n $conflict ]]; do
        [[ -z ${QUORATE_BASE_PORT:-} ]] || die "UDP port $conflict is in use: set QUORATE_BASE_PORT to a free range of 500"
        ((BASE += 500))
        ((BASE < 30000)) || die "no free range of UDP ports was found: set QUORATE_BASE_PORT"
    done
}

# make_cluster N: everything that N nodes start from.
make_cluster() {
    NODES=$1
    [[ $NODES =~ ^[1-9][0-9]?$ && $NODES -le $NODES_MAX ]] ||
        die "a local cluster has 1 to $NODES_MAX nodes, not '$NODES'"
    choose_ports
    local -a described=()
    local i
    for ((i = 1; i <= NODES; i++)); do
        described+=(--node "$(describe "$i")")
    done
    rm -rf "${STATE:?}/cluster"
    "$BIN/quorate" cluster create --name "local$NODES" --partitions 64 --copies 3 "${described[@]}" \
        --out "$STATE/cluster" >"$STATE/created" || die "the cluster could not be made"
    sed -nE 's/^ *n([0-9]+) +([0-9a-f]{16}) .*/\1 \2/p' "$STATE/created" | sort -n >"$STATE/members"
    [[ $(wc -l <"$STATE/members") == "$NODES" ]] || die "'quorate cluster create' did not name $NODES nodes; see $STATE/created"
    for ((i = 1; i <= NODES; i++)); do
        make_node "$i" "$STATE/cluster/cluster.map"
    done
    echo "$BASE" >"$STATE/settings"
}

# describe I [ZONE]: node I as `quorate cluster` wants it.
describe() {
    echo "name=n$1,peer=127.0.0.1:$(peer_port "$1"),client=127.0.0.1:$(client_port "$1")${2:+,zone=$2}"
}

# make_node I MAP: what node I starts from.
make_node() {
    rm -rf "${STATE:?}/$1"
    mkdir -p "$STATE/$1"
    "$BIN/quorate-node" init --dir "$STATE/$1/data" --map "$2" --node "$(node_id "$1")" \
        >>"$STATE/$1/log" 2>&1 || die "node $1 could not be initialised: $(tail -n 1 "$STATE/$1/log")"
    write_config "$1"
}

# write_config N: the node's configuration; while the relay is in use, with the relay's routes to its peers.
write_config() {
    local file=$STATE/$1/node.toml peer id
    {
        cat <<END
# Written by cluster.sh.
data_dir = "data"
listen_peer = "127.0.0.1:$(peer_port "$1")"
listen_client = "127.0.0.1:$(client_port "$1")"
secret_file = "../cluster/secret"
cache_mb = 64
metrics_file = "metrics.prom"

[tls]
ca = "../cluster/ca.pem"
cert = "../cluster/nodes/n$1.pem"
key = "../cluster/nodes/n$1.key"
END
        if [[ -e $STATE/relay/routed ]]; then
            printf '\n[peer_addresses]\n'
            while read -r peer id; do
                [[ $peer == "$1" ]] || printf '"%s" = "127.0.0.1:%s"\n' "$id" "$(route_port "$1" "$peer")"
            done <"$STATE/members"
        fi
    } >"$file.new"
    mv "$file.new" "$file"
}

# What a client needs: sets the variables that `quorate` reads.
client_environment() {
    local i seeds=''
    for i in $(nodes); do
        seeds+=${seeds:+,}127.0.0.1:$(client_port "$i")
    done
    export QUORATE_SEEDS=$seeds
    export QUORATE_CA=$STATE/cluster/ca.pem
    export QUORATE_CERT=$STATE/cluster/clients/admin.pem
    export QUORATE_KEY=$STATE/cluster/clients/admin.key
}
