"""A release: one version everywhere, and what the workflow does for its tag; no engine, no GitHub."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import images

ROOT = Path(__file__).parents[3]
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
FOR_A_VERSION = "startsWith(github.ref, 'refs/tags/v')"
PLACEHOLDER = "registry.example/"
"""Whoever has filled in a registry has tags of his own."""
GH = """#!/bin/sh
echo "$@" >>"${0%/*}/told"
[ "$1 $2" = "run download" ] && mkdir -p sboms/sbom-cli && echo {} >sboms/sbom-cli/cli-1.cdx.json
[ "$1 $2" != "release view" ] || [ -f "${0%/*}/released" ]
"""


def step(job: str, name: str) -> Any:
    (found,) = (each for each in WORKFLOW["jobs"][job]["steps"] if each.get("name") == name)
    return found


def run(script: str, folder: Path, **told: str) -> "subprocess.CompletedProcess[str]":
    """A step of the workflow, with programs of this folder before others."""
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env={"PATH": f"{folder}:/usr/bin:/bin", **told},
        capture_output=True,
        text=True,
    )


def test_the_version_is_that_of_the_change_log_and_of_the_overlay_for_production() -> None:
    unreleased, newest, *_ = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert unreleased == "Unreleased"
    assert newest.split()[0] == images.version()
    listed = yaml.safe_load((ROOT / "deploy/k8s/overlays/production/kustomization.yaml").read_text())["images"]
    shipped = [each for each in listed if each["newName"].startswith(PLACEHOLDER)]
    assert {each["name"]: each["newTag"] for each in shipped} == {each["name"]: images.version() for each in shipped}


@pytest.mark.parametrize(("tag", "right"), [("v{}", True), ("v{}.1", False), ("v9{}", False)])
def test_a_tag_of_another_version_fails_before_anything_is_built(tag: str, right: bool, tmp_path: Path) -> None:
    jobs, check = WORKFLOW["jobs"], step("lint", "version")
    assert check["if"] == FOR_A_VERSION
    assert "lint" in jobs["build"]["needs"]
    (tmp_path / "python").symlink_to(sys.executable)
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    done = run(check["run"], tmp_path, GITHUB_REF_NAME=tag.format(images.version()))
    assert done.returncode == (0 if right else 1), done.stderr
    assert right or f"the version in pyproject.toml {images.version()}" in done.stderr


def test_tests_take_layers_from_the_cache_that_builds_fill_and_put_none_there() -> None:
    assert step("test", "cache")["run"] == step("build", "cache")["run"]
    assert WORKFLOW["jobs"]["test"]["permissions"] == {"contents": "read", "packages": "read"}
    assert "BAKEOFF_BUILD_CACHE_WRITE" not in str(WORKFLOW["jobs"]["test"])
    names = [each.get("name") or each.get("run") for each in WORKFLOW["jobs"]["test"]["steps"]]
    assert names.index("cache") < names.index("make test")


@pytest.mark.parametrize("released", [False, True])
def test_what_is_in_the_images_is_attached_to_the_release_that_is_made_where_there_is_none(
    released: bool, tmp_path: Path
) -> None:
    publish = WORKFLOW["jobs"]["publish"]
    assert publish["if"] == FOR_A_VERSION
    assert [each.get("name") for each in publish["steps"]][-2:] == ["publish", "sbom"]
    assert publish["permissions"] == {"contents": "write", "actions": "read", "packages": "write"}
    program = tmp_path / "gh"
    program.write_text(GH)
    program.chmod(0o755)
    if released:
        (tmp_path / "released").touch()
    done = run(step("publish", "sbom")["run"], tmp_path, GITHUB_REF_NAME="v1.2.3", GITHUB_RUN_ID="7")
    assert done.returncode == 0, done.stderr
    told = (tmp_path / "told").read_text().splitlines()
    assert told[0] == "run download 7 --pattern sbom-* --dir sboms"
    assert [line.startswith("release create v1.2.3 --verify-tag") for line in told].count(True) == (not released)
    assert told[-1] == "release upload v1.2.3 --clobber sboms/sbom-cli/cli-1.cdx.json"
