"""Looks up known vulnerabilities of the locked dependencies and of the built images (`make scan`).

Reads constraints.txt and the SBOMs in dist/images, and asks pip-audit, which asks the advisory database of the Python
package index. It knows Python packages, not the operating system of the base image. Ends with 1 when something is found
or could not be looked up.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
IGNORED: dict[str, str] = {}
"""Advisory to the reason why it does not concern Bakeoff."""


def parts() -> dict[str, set[str]]:
    """Every `name==version` with the lists it is on."""
    lists = {"constraints.txt": [line for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]}
    for path in sorted((ROOT / "dist/images").glob("*.cdx.json")):
        components = json.loads(path.read_text())["components"]
        # A build's local version, such as +cpu, has no advisories of its own.
        lists[path.name] = [f"{one['name']}=={one['version'].partition('+')[0]}" for one in components]
    found: dict[str, set[str]] = {}
    for name, lines in lists.items():
        for line in lines:
            found.setdefault(line.lower().replace("_", "-"), set()).add(name)
        print(f"{name}: {len(lines)} packages")
    if len(lists) == 1:
        print("no SBOMs in dist/images: `make images` writes them, then the images are looked at too")
    return found


def audit(lines: list[str]) -> int:
    """pip-audit's exit status for pinned packages; it prints what it finds. What it cannot look up is a failure."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--strict"]
        command += [part for advisory in IGNORED for part in ("--ignore-vuln", advisory)]
        return subprocess.run([*command, "--progress-spinner", "off", "--requirement", file.name]).returncode


if __name__ == "__main__":
    raise SystemExit(int(audit(sorted(parts())) != 0))
