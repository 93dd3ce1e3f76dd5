# shellcheck shell=bash
# Processes that outlive this script: started in sessions of their own, and signalled only while the number that
# was recorded is still the process that was started. Uses say.sh.
#
# A record is a file of one line: process number, start time in clock ticks since boot, program.

# The start time of process $1: field 22 of its stat file, counted behind the name, which may hold anything.
start_time() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    stat=${stat##*) }
    # shellcheck disable=SC2086 # fields
    set -- $stat
    [[ $1 != Z ]] && echo "${20}"
}

# The program of process $1; one that was rebuilt since counts as the same.
program_of() {
    local program
    program=$(readlink "/proc/$1/exe") || return 1
    echo "${program% (deleted)}"
}

# Prints the process number of record $1, if that process still runs.
running() {
    local pid started program
    [[ -r $1 ]] || return 1
    read -r pid started program <"$1" || return 1
    [[ $(start_time "$pid") == "$started" && $(program_of "$pid") == "$program" ]] || return 1
    echo "$pid"
}

# launch RECORD LOG PROGRAM ARGUMENTS...: starts the program, its output appended to the log.
launch() {
    local record=$1 log=$2 program pid
    shift 2
    program=$(readlink -f "$1")
    # Not the lock of this script: the process would hold it for as long as it lives.
    setsid "$@" >>"$log" 2>&1 </dev/null 9>&- &
    pid=$!
    disown
    # For a moment the process is still the shell, or setsid.
    local try
    for ((try = 0; try < 200; try++)); do
        if [[ $(program_of "$pid") == "$program" ]]; then
            echo "$pid $(start_time "$pid") $program" >"$record"
            return 0
        fi
        [[ -e /proc/$pid ]] || break
        sleep 0.01
    done 2>/dev/null
    return 1
}

# signal RECORD SIGNAL: fails if the process does not run.
signal() {
    local pid
    pid=$(running "$1") || return 1
    kill "-$2" "$pid"
}

# wait_gone RECORD SECONDS
wait_gone() {
    local deadline=$((SECONDS + $2))
    while running "$1" >/dev/null; do
        ((SECONDS < deadline)) || return 1
        sleep 0.05
    done
}

# "running 1234", "paused 1234" or "stopped".
process_state() {
    local pid state
    pid=$(running "$1") || {
        echo stopped
        return
    }
    state=$(cat "/proc/$pid/stat" 2>/dev/null) || state=''
    state=${state##*) }
    if [[ $state == T* ]]; then echo "paused $pid"; else echo "running $pid"; fi
}
