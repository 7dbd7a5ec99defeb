"""Prometheus and its promtool: installed ones, or Debian's package, unpacked and kept beside the test environments."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tools.venvs import ROOT


def programs() -> tuple[Path, Path]:
    """`prometheus` and `promtool`; skips the test where neither can be had."""
    found = [shutil.which(name) for name in ("prometheus", "promtool")]
    if all(found):
        return Path(found[0] or ""), Path(found[1] or "")
    folder = Path(os.environ.get("BAKEOFF_TEST_VENVS") or ROOT / ".bakeoff/venvs") / "prometheus"
    if not (folder / "usr/bin/promtool").exists():
        if shutil.which("apt-get") is None:
            pytest.skip("neither prometheus and promtool nor apt-get are there")
        folder.mkdir(parents=True, exist_ok=True)
        # Only unpacked: installed, the package would start a server.
        got = subprocess.run(["apt-get", "download", "-qq", "prometheus"], cwd=folder, capture_output=True, text=True)
        packages = sorted(folder.glob("prometheus_*.deb"))
        if not packages:
            pytest.skip(f"apt-get has no package prometheus: {got.stderr.strip()[-200:]}")
        subprocess.run(["dpkg-deb", "--extract", packages[-1], folder], check=True)
        packages[-1].unlink()
    return folder / "usr/bin/prometheus", folder / "usr/bin/promtool"
