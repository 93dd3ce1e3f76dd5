# shellcheck shell=bash
# Builds the programs of a local cluster. Uses say.sh and needs.sh; ROOT is the repository.

readonly PROGRAMS=(quorate-node quorate quorate-relay)

# Builds the programs, and copies them to where this cluster runs them: a later build does not change a running cluster.
build() {
    install_needs
    if ! rocksdb_is_compiled; then
        say "First build: RocksDB is compiled from source, which takes 15 to 20 minutes on two cores and happens once."
    fi
    local messages
    messages=$(cd "$ROOT" && cargo build --locked --message-format=json-render-diagnostics \
        -p quorate-node -p quorate-client -p quorate-tests \
        --bin quorate-node --bin quorate --bin quorate-relay) ||
        die "the build failed; the compiler's messages are above"
    local built program
    built=$(sed -n 's/.*"executable":"\([^"]*\)\/quorate-node".*/\1/p' <<<"$messages" | head -n 1)
    [[ -x $built/quorate-node ]] || die "the build gave no quorate-node where cargo said it would be ('$built')"
    mkdir -p "$STATE/bin"
    for program in "${PROGRAMS[@]}"; do
        cmp -s "$built/$program" "$STATE/bin/$program" && continue
        cp "$built/$program" "$STATE/bin/$program.new"
        mv "$STATE/bin/$program.new" "$STATE/bin/$program"
    done
    export BIN=$STATE/bin
}

rocksdb_is_compiled() {
    local target
    target=$(target_directory) || return 1
    compgen -G "$target/*/build/librocksdb-sys-*/out/librocksdb.a" >/dev/null ||
        compgen -G "$target/*/*/build/librocksdb-sys-*/out/librocksdb.a" >/dev/null
}

# Where cargo builds, whatever the environment or its configuration says.
target_directory() {
    (cd "$ROOT" && cargo metadata --locked --no-deps --format-version 1) |
        sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}
