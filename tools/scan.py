"""Looks up known vulnerabilities of the locked dependencies and of the built images (`make scan`).

Reads constraints.txt and the SBOMs of this checkout's images in dist/images (`make scan ARGS="--tag TAG"`: of images
with that tag), and asks pip-audit, which asks the advisory database of the Python package index. It knows Python
packages, not the operating system of the base image. Ends with 1 when something is found, or could not be looked up.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.utils import canonicalize_name

from deploy.images import content_tag

ROOT = Path(__file__).parents[1]
IGNORED: dict[str, str] = {}
"""Advisory to the reason why it does not concern Bakeoff."""


def parts(root: Path, tags: tuple[str, ...]) -> dict[str, set[str]]:
    """Every package of the lists with the versions it has there; SBOMs of other tags are left out."""
    lists = {"constraints.txt": [line for line in (root / "constraints.txt").read_text().splitlines() if "==" in line]}
    others = 0
    for path in sorted((root / "dist/images").glob("*.cdx.json")):
        if not path.name.endswith(tuple(f"-{tag}.cdx.json" for tag in tags)):
            others += 1
            continue
        components = json.loads(path.read_text())["components"]
        # A build's local version, such as +cpu, has no advisories of its own.
        lists[path.name] = [f"{one['name']}=={one['version'].partition('+')[0]}" for one in components]
    found: dict[str, set[str]] = {}
    for name, lines in lists.items():
        for line in lines:
            package, _, version = line.partition("==")
            found.setdefault(canonicalize_name(package), set()).add(version)
        print(f"{name}: {len(lines)} packages")
    if others:
        print(f"SBOMs of other tags than {', '.join(tags)}, left out: {others}")
    if len(lists) == 1:
        print("no SBOMs of these images in dist/images: `make images` writes them, then the images are looked at too")
    return found


def rounds(found: dict[str, set[str]]) -> list[list[str]]:
    """`name==version` for each version of each package, in lists that name a package once: pip-audit takes no other."""
    versions = {name: sorted(each) for name, each in found.items()}
    most = max(map(len, versions.values()), default=0)
    return [
        [f"{name}=={each[number]}" for name, each in sorted(versions.items()) if number < len(each)]
        for number in range(most)
    ]


def audit(lines: list[str]) -> int:
    """pip-audit's exit status for pinned packages; it prints what it finds. What it cannot look up is a failure."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--strict"]
        command += [part for advisory in IGNORED for part in ("--ignore-vuln", advisory)]
        return subprocess.run([*command, "--progress-spinner", "off", "--requirement", file.name]).returncode


def main() -> int:
    """The command line; its exit status."""
    parser = argparse.ArgumentParser(
        prog="make scan", usage='%(prog)s [ARGS="--tag TAG"]', description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--tag", help="of the images whose SBOMs are read; default: that of this checkout's content")
    options = parser.parse_args()
    tags = (options.tag,) if options.tag else (content_tag(), content_tag("cuda"))
    # Every list, also after one in which something was found.
    statuses = [audit(lines) for lines in rounds(parts(ROOT, tags))]
    return int(any(statuses))


if __name__ == "__main__":
    raise SystemExit(main())
