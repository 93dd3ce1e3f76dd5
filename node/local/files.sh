# shellcheck shell=bash
# The demo's input: files of a directory, copied, so that what is compared later cannot change meanwhile. Uses say.sh.

readonly FILES_MAX=4000
readonly FILES_BYTES_MAX=$((512 * 1000 * 1000))
# Files of this size are left out, and larger ones.
readonly FILE_BYTES_LIMIT=$((16 * 1024 * 1024))

# Prints "size TAB name" for each file below directory $1.
list_directory() {
    (cd "$1" && find . -type f ! -name $'*[\n\t]*' -printf '%s\t%P\n')
}

# Prints "size TAB name" for the files of this repository.
list_repository() {
    if git -C "$ROOT" rev-parse --git-dir >/dev/null 2>&1; then
        (cd "$ROOT" && git ls-files -z | xargs -0 -r stat -c '%s	%n' 2>/dev/null) || true
    else
        (cd "$ROOT" && find . \( -name target -o -name '.quorate*' -o -name .git \) -prune -o -type f -printf '%s\t%P\n')
    fi
}

# Where the Rust toolchain keeps its documentation, or, where none is installed, the toolchain itself.
toolchain_texts() {
    local sysroot
    sysroot=$(rustc --print sysroot)
    if [[ -d $sysroot/share/doc/rust/html ]]; then
        echo "$sysroot/share/doc"
    else
        say "The Rust toolchain's documentation is not installed; taking what else the toolchain holds."
        echo "$sysroot"
    fi
}

# Cuts a list to the first files in path order that fit, without those that no value can hold.
choose_files() {
    LC_ALL=C sort -t $'\t' -k 2 |
        awk -F '\t' -v most="$FILES_MAX" -v bytes="$FILES_BYTES_MAX" -v limit="$FILE_BYTES_LIMIT" '
            $1 >= limit { if (count < most) print "left out, 16 MiB or more: " $2 >"/dev/stderr"; next }
            { count++; sum += $1 }
            count <= most && sum <= bytes'
}

# copy_files DIRECTORY PREFIX TARGET: copies the files named on standard input that begin with the prefix, which is
# not part of their names in the directory.
copy_files() {
    mkdir -p "$3/$2"
    cut -f 2 | sed -n "s|^$2||p" |
        tar -C "$1" --no-recursion --verbatim-files-from --files-from=- -cf - | tar -C "$3/$2" -xf -
}

# Lays out the demo's input below $1: `before` and `after`, two halves in path order. $2: the user's directory, if any.
prepare_files() {
    local input=$1 list=$1/list count docs
    mkdir -p "$input"
    if [[ -n $2 ]]; then
        list_directory "$2" | choose_files >"$list"
    else
        docs=$(toolchain_texts)
        { list_repository | sed 's|\t|\tquorate/|'; list_directory "$docs" | sed 's|\t|\ttoolchain/|'; } | choose_files >"$list"
    fi
    count=$(wc -l <"$list")
    ((count >= 2)) || die "a demo needs at least two files; '${2:-}' has $count that can be stored"
    head -n $((count / 2)) "$list" >"$list.before"
    tail -n +$((count / 2 + 1)) "$list" >"$list.after"
    local half
    for half in before after; do
        if [[ -n $2 ]]; then
            copy_files "$2" '' "$input/$half" <"$list.$half"
        else
            copy_files "$ROOT" quorate/ "$input/$half" <"$list.$half"
            copy_files "$docs" toolchain/ "$input/$half" <"$list.$half"
        fi
    done
}
