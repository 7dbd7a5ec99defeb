#!/usr/bin/env bash
# All tests, or the ones that are named. In two lanes, because most system tests wait more than they compute: the contract
# suite, which computes for minutes, at low priority beside the first of them, then the others. What the second lane says
# comes last.
set -uo pipefail
cd "$(dirname "$0")/.."
pytest=(.venv/bin/python -m pytest)
[ $# -gt 0 ] && exec "${pytest[@]}" "$@"

second_lane() {
  nice -n 10 "${pytest[@]}" tests/contract
  local contract=$?
  "${pytest[@]}" tests/system/test_[r-z]*.py
  local later=$?
  return $((contract ? contract : later))
}

set -m # A process group of its own, that it can be ended with everything it started.
log=$(mktemp)
second_lane >"$log" 2>&1 &
second=$!
trap 'kill -- -"$second" 2>/dev/null; rm -f "$log"' EXIT
"${pytest[@]}" tests/unit tests/system/test_[!r-z]*.py
first=$?
[ "$first" = 2 ] && exit 2 # Interrupted.
echo "waiting for the second lane: contract suite, then the later system tests"
wait "$second"
others=$?
cat "$log"
exit $((first ? first : others))
