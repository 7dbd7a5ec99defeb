#!/usr/bin/env bash
# All tests, or the ones that are named. The contract suite computes for minutes while the system tests often wait, so it
# runs beside the others, at low priority. What it says comes last.
set -uo pipefail
cd "$(dirname "$0")/.."
pytest=(.venv/bin/python -m pytest)
[ $# -gt 0 ] && exec "${pytest[@]}" "$@"

set -m # A process group of its own, that it can be ended with everything it started.
log=$(mktemp)
nice -n 10 "${pytest[@]}" tests/contract >"$log" 2>&1 &
contract=$!
trap 'kill -- -"$contract" 2>/dev/null; rm -f "$log"' EXIT
"${pytest[@]}" tests/unit tests/system
others=$?
[ "$others" = 2 ] && exit 2 # Interrupted.
echo "waiting for the contract suite"
wait "$contract"
contracts=$?
cat "$log"
exit $((others ? others : contracts))
