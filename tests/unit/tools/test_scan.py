"""What is handed to pip-audit; it parses here itself, and nobody is asked for advisories."""

import json
from pathlib import Path

import pytest
from pip_audit._dependency_source import RequirementSource

from tools import scan


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with SBOMs of the tags 1-new, 1-new-cuda and 1-old."""
    (tmp_path / "constraints.txt").write_text("# Exact versions.\nJinja2==3.1.6\nruamel.yaml==0.19.1\ntorch==2.13.0\n")
    (tmp_path / "dist/images").mkdir(parents=True)
    sbom(tmp_path, "cli-1-new", {"jinja2": "3.1.6", "ruamel-yaml": "0.19.1"})
    sbom(tmp_path, "trainer-pytorch-1-new", {"torch": "2.13.0+cpu", "setuptools": "80.1.0"})
    sbom(tmp_path, "trainer-pytorch-1-new-cuda", {"torch": "2.13.0", "setuptools": "79.0.0"})
    sbom(tmp_path, "cli-1-old", {"jinja2": "2.0.0"})
    return tmp_path


def sbom(root: Path, name: str, components: dict[str, str]) -> None:
    listed = [{"name": each, "version": version} for each, version in components.items()]
    (root / f"dist/images/{name}.cdx.json").write_text(json.dumps({"components": listed}))


def test_every_version_of_this_contents_lists_is_audited_and_none_of_another_tag(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audited = {(name, version) for lines in scan.rounds(scan.parts(root, ("1-new", "1-new-cuda"))) for name, version in
               [line.split("==") for line in lines]}  # fmt: skip
    assert audited == {
        *{("jinja2", "3.1.6"), ("ruamel-yaml", "0.19.1"), ("torch", "2.13.0")},
        *{("setuptools", "79.0.0"), ("setuptools", "80.1.0")},
    }
    assert "left out: 1\n" in capsys.readouterr().out


def test_pip_audit_takes_lists_with_a_package_in_two_versions(root: Path, tmp_path: Path) -> None:
    found = scan.rounds(scan.parts(root, ("1-new", "1-new-cuda", "1-old")))
    assert [len(lines) for lines in found] == [4, 2]
    for number, lines in enumerate(found):
        path = tmp_path / f"{number}.txt"
        path.write_text("\n".join(lines) + "\n")
        source = RequirementSource([path], disable_pip=True, no_deps=True)
        assert sorted(f"{each.canonical_name}=={each.version}" for each in source.collect()) == lines


def test_a_tag_of_ones_own_is_looked_up_and_a_finding_in_any_list_is_the_exit_status(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "ROOT", root)
    monkeypatch.setattr("sys.argv", ["scan.py", "--tag", "1-old"])
    asked = list[list[str]]()

    def audit(lines: list[str]) -> int:
        asked.append(lines)
        return int("jinja2==2.0.0" in lines)

    monkeypatch.setattr(scan, "audit", audit)
    assert scan.main() == 1
    assert asked == [["jinja2==2.0.0", "ruamel-yaml==0.19.1", "torch==2.13.0"], ["jinja2==3.1.6"]]
