#!/usr/bin/env bash
# Generates proto/gen from proto/**/*.proto. `tools/proto.sh check` regenerates elsewhere and compares.
# The generator is pinned in an environment of its own: its code (gencode 6.31.1) runs on every protobuf the
# frameworks accept, newer generators refuse older protobuf runtimes.
set -euo pipefail
cd "$(dirname "$0")/.."
env=.venv-proto
if [ ! -e $env/.installed ]; then
  python3 -m venv --clear $env
  $env/bin/pip install -q "grpcio-tools==1.78.0" "setuptools<81" "mypy-protobuf==3.7.0"
  touch $env/.installed
fi
out=proto/gen
if [ "${1:-}" = check ]; then
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
fi
mkdir -p "$out"
mapfile -t files < <(cd proto && find . -name '*.proto' -not -path './gen/*' -printf '%P\n' | sort)
PATH=$PWD/$env/bin:$PATH $env/bin/python -m grpc_tools.protoc -I proto \
  --python_out="$out" --grpc_python_out="$out" --mypy_out=quiet:"$out" --mypy_grpc_out=quiet:"$out" "${files[@]}"
find "$out" -type d -not -path "$out" -exec touch {}/__init__.py \;
if [ "${1:-}" = check ]; then
  diff -r -x __pycache__ "$out" proto/gen && echo "proto/gen is up to date" || { echo "proto/gen differs: run 'make proto' and commit"; exit 1; }
fi
