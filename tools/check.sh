#!/usr/bin/env bash
# Fast checks in order of speed; the first that fails ends them.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
export PATH=$PWD/$bin:$PATH
step() { printf '\n== %s\n' "$1"; shift; "$@"; }
step format ruff format --check .
step lint ruff check .
step protos buf lint proto
# The published contract; `buf build proto -o proto/published.binpb --exclude-source-info` at a release renews it.
step contract buf breaking proto --against proto/published.binpb
step imports lint-imports --no-cache
step types mypy
step drift tools/proto.sh check
