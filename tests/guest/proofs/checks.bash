# What every proof needs. Sourced by bash, in the guest.

passed=0 failed=0

# NAME COMMAND…
check() {
    local name=$1
    shift
    if "$@"; then
        printf 'ok      %s\n' "$name"
        passed=$((passed + 1))
    else
        printf 'FAILED  %s: %s\n' "$name" "${*@Q}"
        failed=$((failed + 1))
    fi
}

equal() { [[ $1 == "$2" ]] || { echo "        $1 is not $2" && false; }; }
between() { (($1 <= $2 && $2 <= $3)) || { echo "        $2 is not between $1 and $3" && false; }; }
# Milliseconds.
now() { date +%s%3N; }

# SECONDS COMMAND…: until it succeeds.
within() {
    local until=$(($(now) + $1 * 1000))
    shift
    until "$@" 2>/dev/null; do
        (($(now) < until)) || return 1
        sleep 0.1
    done
}

# The last line, and the exit status.
conclude() {
    echo "$passed passed, $failed failed, 0 skipped"
    ((failed == 0))
}
