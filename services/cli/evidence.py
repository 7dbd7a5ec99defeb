"""`bakeoff compare` and `bakeoff gate`: judge reports that are there. Nothing needs to run."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import pydantic
import typer

from core import comparison, files, gate
from core.errors import InvalidInputError, NotFoundError
from core.schemas.base import explain
from core.schemas.gates import Gates
from core.schemas.summary import Summary, parse_summary
from services.cli.context import Home, ends_well, err
from services.cli.formats import FormatOption, ListFormat, show
from services.orchestrator.experiment_file import load_yaml

EXPLAINED = ("noise not known", "not comparable")
"""Findings whose reason is shown."""
ReportArgument = Annotated[str, typer.Argument(help="Name of an experiment that was run, or path of a summary.json.")]


@ends_well
def compare(
    first: ReportArgument,
    second: ReportArgument,
    style: FormatOption = ListFormat.TABLE,
) -> None:
    """Set two reports side by side: differences of matching rows, and whether they exceed noise."""
    found = comparison.compare(find_summary(first), find_summary(second))
    if not found.differences:
        raise InvalidInputError(f"{first} and {second} have no row in common (arm, framework, format, runtime, seed)")
    if style is ListFormat.JSON:
        show([{**asdict(one), "change": one.change} for one in found.differences], style)
    else:
        show([_cells(one) for one in found.differences], style)
    for name, labels in ((first, found.only_first), (second, found.only_second)):
        for label in labels:
            err.print(f"only in {name}: {label}", highlight=False, markup=False)
    for note in found.notes:
        err.print(f"note: {note}", style="dim", highlight=False, markup=False)


@ends_well
def judge(
    name: ReportArgument,
    rules: Annotated[Path, typer.Option("--rules", help="YAML file with the rules, see docs/evidence.md.")],
    junit: Annotated[Path | None, typer.Option("--junit", help="Also write the outcome as JUnit XML.")] = None,
    style: FormatOption = ListFormat.TABLE,
) -> None:
    """Hold a report against rules; exit code 1 where one does not hold."""
    gates, summary = read_gates(rules), find_summary(name)
    checks = gate.check(summary, gates)
    if junit:
        _write(junit, gate.junit_xml(checks, summary.experiment))
    if style is ListFormat.JSON:
        show([asdict(one) for one in checks], style)
    else:
        show(
            [
                {"": "pass" if one.passed else "FAIL", "rule": one.rule, "artefact": one.artefact, "found": one.message}
                for one in checks
            ],
            style,
        )
    failed = [one for one in checks if not one.passed]
    if failed:
        err.print(f"gate: {len(failed)} of {len(checks)} checks failed", style="red", highlight=False)
        raise typer.Exit(1)


def find_summary(name: str) -> Summary:
    """A report's summary by experiment name, or by path of the file or its folder."""
    folder = Home().home / "reports"
    places = (folder / name / "summary.json", Path(name) / "summary.json", Path(name))
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        known = sorted(p.parent.name for p in folder.glob("*/summary.json")) if folder.is_dir() else []
        raise NotFoundError(f"no report or summary.json {name!r}; there are: {', '.join(known) or 'none yet'}")
    return parse_summary(path.read_bytes(), str(path))


def read_gates(path: Path) -> Gates:
    """Reads a rules file; an error names the file, the key and what is allowed."""
    if not path.is_file():
        raise NotFoundError(f"no rules file {path}")
    document: Any = load_yaml(path, "safe")
    if not isinstance(document, dict):
        raise InvalidInputError(f"{path}: expected a mapping with the key rules, see docs/evidence.md")
    try:
        return Gates.model_validate(document)
    except pydantic.ValidationError as error:
        raise InvalidInputError(f"{path}: {explain(error)}") from error


def _write(path: Path, text: str) -> None:
    try:
        files.write_text(path, text)
    except OSError as error:
        raise InvalidInputError(f"--junit {path} cannot be written: {error.strerror}; name a file") from error


def _cells(one: comparison.Difference) -> dict[str, Any]:
    interval = "" if one.interval is None else f"{one.interval[0]:+.4f} to {one.interval[1]:+.4f}"
    return {
        "artefact": one.artefact,
        "metric": one.metric,
        "first": f"{one.first:,.4g}",
        "second": f"{one.second:,.4g}",
        "change": f"{one.change:+,.4g}",
        "95% interval": interval,
        "finding": f"{one.finding} ({one.reason})" if one.finding in EXPLAINED else one.finding,
    }
