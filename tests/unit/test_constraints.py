import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def test_everything_that_is_locked_runs_on_the_oldest_python_the_project_admits() -> None:
    """Where one does not, pip's resolver searches for minutes and then says something else."""
    admitted = SpecifierSet(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"])
    oldest = next(one.version for one in admitted if one.operator == ">=")
    locked = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    installed = {canonicalize_name(each.name): each for each in metadata.distributions()}
    found = [installed[name] for one in locked if (name := canonicalize_name(one.name)) in installed]
    assert len(found) > 200
    needs = {each.name: each.metadata.get("Requires-Python") or "" for each in found}
    assert {name: asked for name, asked in needs.items() if f"{oldest}.0" not in SpecifierSet(asked)} == {}
