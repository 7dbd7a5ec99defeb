#!/usr/bin/env bash
# Writes constraints.txt: the exact version of everything in .venv.
# Never a local suffix such as +cpu: elsewhere that version does not exist.
set -euo pipefail
cd "$(dirname "$0")/.."
{
  echo "# Exact versions of everything Bakeoff installs, read by pip (-c constraints.txt). Written by make lock."
  .venv/bin/pip freeze --exclude-editable | sed 's/+cpu$//' | grep -iv '^bakeoff'
} >constraints.txt.new
mv constraints.txt.new constraints.txt
