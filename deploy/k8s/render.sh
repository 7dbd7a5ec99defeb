#!/usr/bin/env bash
# Prints the manifests of an overlay. Needs kustomize 5, or kubectl 1.27 or newer, whose kustomize knows components.
set -euo pipefail
folder=$(dirname "$0")/overlays/${1:?which overlay? local or production}
[ -d "$folder" ] || { echo "no overlay $1; there are: $(ls "$(dirname "$0")/overlays" | xargs)" >&2; exit 2; }
command -v kustomize >/dev/null && exec kustomize build "$folder"
minor=$(kubectl version --client --output json 2>/dev/null | sed -n 's/.*"minor": *"\([0-9]*\).*/\1/p' | head -1)
[ "${minor:-0}" -ge 27 ] || { echo "kubectl 1.27 or newer, or kustomize 5, is needed; found minor version ${minor:-none}" >&2; exit 1; }
exec kubectl kustomize "$folder"
