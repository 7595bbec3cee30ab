#!/bin/sh
# Starts a local network and runs a real voucher flow on it; Ctrl-C ends it.
#   sh scripts/run.sh           leaves the network up
#   sh scripts/run.sh --once    stops after the flow; the exit status says whether it went well
#   sh scripts/run.sh --detach  returns after the flow; `tally network down` stops the network
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)

# The moment the command was typed, in epoch seconds: `first finalised voucher: N s` counts from
# here. `%N` is not POSIX; without it the clock shows whole seconds.
TALLY_STARTED_AT=$(date +%s.%N)
case $TALLY_STARTED_AT in *[!0-9.]*) TALLY_STARTED_AT=$(date +%s) ;; esac
export TALLY_STARTED_AT

. "$root/scripts/bootstrap.sh"
bootstrap runtime
exec "$venv/bin/tally" network up --demo --fresh "$@"
