#!/usr/bin/env bash
# What some tests need from the system: Chromium (the report in a real browser) and libb64 (NVIDIA's perf_analyzer).
# Installs them as root on Debian; elsewhere it says what is missing, and those tests are skipped.
set -euo pipefail
missing=()
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || [ -n "${BAKEOFF_CHROMIUM:-}" ] || missing+=(chromium)
ldconfig -p 2>/dev/null | grep -q libb64.so.0d || missing+=(libb64-0d)
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq || true
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null && exit 0
fi
echo "not installed: ${missing[*]}; the tests that need them are skipped"
