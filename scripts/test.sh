#!/bin/sh
# Style, types, import contracts, tests. Exits 0 only if all of it passed.
#   sh scripts/test.sh          under ten minutes on two cores
#   sh scripts/test.sh --ci     more simulations and more kills, under half an hour
#   sh scripts/test.sh --long   also the tests marked `long`
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)

long=" and not long and not ci"
case ${1-} in
    "") ;;
    --ci) export TALLY_SEEDS=ci TALLY_KILLS=50; long=" and not long" ;;
    --long) long="" ;;
    *) printf 'usage: sh scripts/test.sh [--ci | --long]\n' >&2; exit 2 ;;
esac

. "$root/scripts/bootstrap.sh"
bootstrap test
cd "$root"
PATH="$venv/bin:$PATH"

left_out=""
failed=""

# check NAME COMMAND…: runs one part; a failure is remembered and the other parts still run.
check() {
    name=$1
    shift
    printf '\n== %s\n' "$name"
    "$@" || failed="$failed $name;"
}

find_chromium() {
    for name in "${TALLY_CHROMIUM:-}" chromium chromium-browser google-chrome; do
        [ -n "$name" ] && command -v "$name" && return
    done
    return 1
}

# debian PACKAGE WHY: installs Debian's package where that is possible.
debian() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 0
    say "installing $1 for $2"
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
        --no-install-recommends "$1"; } >/dev/null 2>&1 || say "apt-get could not install it"
}

command -v strace >/dev/null || debian strace "the crash images"
command -v strace >/dev/null || left_out="$left_out crash images (no strace);"
# Chromium is needed last of all: it is fetched meanwhile.
find_chromium >/dev/null || debian chromium "the console's tests" &
chromium=$!

check "ruff format" ruff format --check .
check "ruff check" ruff check .
check "mypy --strict" mypy --strict .
check "import contracts" lint-imports --no-logo

# Verifiers that strangers wrote run in the larger sizes alone.
[ -z "${1-}" ] || for tool in go npm; do
    command -v "$tool" >/dev/null || left_out="$left_out strangers' verifiers (no $tool);"
done
# -n 2: the machine this is measured on has two cores. One takes over what the other has left:
# the slow tests would else lie in one worker's queue while the other is idle.
check "tests" pytest -q -n 2 --dist worksteal -m "not cluster and not browser$long"
# Tests that start processes or a browser run by themselves: their neighbours would slow them.
alone="cluster or browser"
wait "$chromium"
if TALLY_CHROMIUM=$(find_chromium); then
    export TALLY_CHROMIUM
else
    left_out="$left_out browser tests (no Chromium: set TALLY_CHROMIUM to its path);"
    alone="cluster and not browser"
fi
# -s: these print what they counted.
check "tests on real processes" pytest -q -s -m "($alone)$long"

# The last line of standard output stays pytest's own count.
[ -z "$left_out" ] || say "left out:$left_out"
[ -z "$failed" ] || { say "FAILED:$failed"; exit 1; }
