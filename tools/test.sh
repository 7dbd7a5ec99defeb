#!/usr/bin/env bash
# All tests, or the ones that are named. System tests often wait, so those that need a Docker engine, which are half of them
# by time, run beside the others. So does the contract suite, at low priority, because it computes for minutes. What these
# two say comes last.
set -uo pipefail
cd "$(dirname "$0")/.."
pytest=(.venv/bin/python -m pytest)
[ $# -gt 0 ] && exec "${pytest[@]}" "$@"

set -m # Process groups of their own, that they can be ended with everything they started.
logs=$(mktemp -d)
engine=(tests/system/test_compose_layers.py tests/system/test_containers.py tests/system/test_containers_images.py)
nice -n 10 "${pytest[@]}" tests/contract >"$logs/contract" 2>&1 &
contract=$!
"${pytest[@]}" "${engine[@]}" >"$logs/engine" 2>&1 &
containers=$!
trap 'kill -- -"$contract" -"$containers" 2>/dev/null; rm -rf "$logs"' EXIT
"${pytest[@]}" tests/unit tests/system "${engine[@]/#/--ignore=}"
status=$?
[ "$status" = 2 ] && exit 2 # Interrupted.
for one in "engine $containers" "contract $contract"; do
  read -r name pid <<<"$one"
  echo "waiting for the tests of: $name"
  wait "$pid"
  code=$?
  cat "$logs/$name"
  status=$((status ? status : code))
done
exit "$status"
