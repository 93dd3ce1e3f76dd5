# shellcheck shell=bash
# What compiling needs besides Rust: a C++ compiler, and libclang with its headers for RocksDB's bindings.
# Uses say.sh.

has_libclang() {
    local place
    for place in "${LIBCLANG_PATH:-/nowhere}" '/usr/lib/llvm-*/lib' '/usr/lib/*-linux-gnu' '/usr/lib*' '/usr/local/lib*'; do
        compgen -G "$place/libclang[-.]*so*" || true
    done | grep -v 'libclang-cpp' >/dev/null
}

# The headers of the compiler itself, such as stddef.h; libclang cannot parse C++ without them.
has_clang_headers() {
    compgen -G '/usr/lib*/clang/*/include/stddef.h' >/dev/null ||
        compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' >/dev/null ||
        compgen -G '/usr/local/lib*/clang/*/include/stddef.h' >/dev/null
}

readonly APT=(env DEBIAN_FRONTEND=noninteractive apt-get -qq)

# Prints what is missing, one word each.
missing_needs() {
    command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || echo compiler
    { has_libclang && has_clang_headers; } || echo libclang
}

# Prints the Debian packages for these words. Distributions without the version named get the newest.
packages_for() {
    local need
    for need in "$@"; do
        case $need in
        compiler) echo g++ ;;
        libclang)
            if apt-cache show libclang-common-14-dev >/dev/null 2>&1; then
                echo libclang1-14 libclang-common-14-dev
            else
                echo libclang-dev
            fi
            ;;
        esac
    done
}

# as_root COMMAND...: fails where neither root's rights nor sudo without a password are at hand.
as_root() {
    if [[ $(id -u) == 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        sudo "$@"
    else
        return 1
    fi
}

# Installs what is missing, or says what to install.
install_needs() {
    command -v cargo >/dev/null ||
        die "Rust is missing (cargo is not on the PATH): install it from https://rustup.rs, then run this again"
    local missing packages
    missing=$(missing_needs)
    [[ -n $missing ]] || return 0
    if ! command -v apt-get >/dev/null; then
        die "compiling RocksDB needs a C++ compiler and libclang with its headers; missing: ${missing//$'\n'/, }"
    fi
    say "Compiling RocksDB needs what is not installed here: ${missing//$'\n'/, }."
    # The names of packages are known only once the lists are there.
    as_root "${APT[@]}" update >&2 || true
    # shellcheck disable=SC2086 # words, one each
    packages=$(packages_for $missing | xargs)
    as_root true || die "no right to install packages: run 'sudo apt-get install --no-install-recommends $packages', then this again"
    say "Installing $packages with apt-get."
    # shellcheck disable=SC2086
    as_root "${APT[@]}" install -y --no-install-recommends $packages >&2 ||
        die "apt-get could not install $packages: install them by hand, then run this again"
}
