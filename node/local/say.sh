# shellcheck shell=bash
# How the scripts talk: everything for people goes to standard error, so that standard output holds results only.

say() {
    printf '%s\n' "$*" >&2
}

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# progress TEXT: one line that the next one replaces; shown on terminals only.
progress() {
    if [[ -t 2 ]]; then
        printf '\r\033[K%s' "$*" >&2
    fi
}

progress_end() {
    progress ''
}
