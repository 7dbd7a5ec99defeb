"""`bakeoff run` and `bakeoff report`."""

import os
import sys
import webbrowser
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from core import labels, repeats
from core.errors import NotFoundError
from core.mirror import open_repository
from core.schemas.course import COURSES
from core.schemas.experiment import FULL
from core.schemas.search import SearchOutcome
from core.schemas.statistics import DefaultsTest
from core.schemas.summary import Row, Summary, parse_summary
from services.cli.context import Home, ends_well, err, out
from services.cli.progress import reporter
from services.cli.services import say
from services.cli.stack import Stack
from services.orchestrator.experiment_file import MisfitError, read_experiment
from services.orchestrator.logbook import Logbook, Together
from services.orchestrator.pretrained import pin_weights
from services.orchestrator.reconciler import Reconciler, freeze
from services.orchestrator.remake import remake
from services.orchestrator.search_lock import alone
from services.orchestrator.steps import services_needed
from services.orchestrator.tracking.settings import open_tracker


class ReportFormat(StrEnum):
    """How a report is given."""

    HTML = "html"
    MARKDOWN = "md"
    JSON = "json"
    CSV = "csv"


@ends_well
def run(
    file: Annotated[Path, typer.Argument(help="Experiment file, for example experiments/digits.yaml.")],
    data: Annotated[str | None, typer.Option(help="Folder or hub name that replaces the file's data source.")] = None,
    scale: Annotated[
        str, typer.Option(help="One of the file's scales, for example small; full: the file as it stands.")
    ] = FULL,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="key.path=value that wins over the file; may be repeated.")
    ] = None,
    skip_corrupt: Annotated[
        bool, typer.Option("--skip-corrupt", help="Leave out and list images that cannot be decoded.")
    ] = False,
    parallel: Annotated[int, typer.Option(help="Trainings at a time; above 1 their times do not compare.", min=1)] = 1,
    show: Annotated[bool, typer.Option("--open", help="Open the report in the browser, where there is one.")] = False,
) -> None:
    """Run an experiment to its end; started again, it repeats nothing that is finished."""
    given = [*(overrides or ()), *(["data.skip_corrupt=true"] if skip_corrupt else [])]
    experiment = pin_weights(read_experiment(file, given, data, scale))
    home = Home()
    store = home.open_store()
    logbook = Logbook(
        home.home / COURSES, experiment, again(file, data, scale, overrides or [], skip_corrupt, parallel)
    )
    services = Stack(home, say).with_services(services_needed(experiment))
    tracking = open_tracker(home.home, open_repository(home.models, home.cache), say)
    # A search that another command runs is refused before any service is touched.
    with logbook, alone(experiment, home.home), services, reporter(err) as shown, tracking as tracker:
        progress = Together(shown, logbook)
        freeze(experiment, store, home.home / "work")
        try:
            finished = Reconciler(experiment, home.directory, store, progress, parallel, tracker).run()
        except MisfitError as error:
            raise error.placed(file) from error
    summary = read_summary(finished.report)
    print_verdict(summary)
    html = finished.report / "report.html"
    out.print(f"\nreport: {html}", soft_wrap=True, highlight=False)
    if show:
        open_in_browser(html)
    if summary.search and (line := failed_trials(summary.search)):
        err.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)
    for line in summary.missing:
        if line not in finished.failed:
            err.print(f"incomplete: {line}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    for line in finished.failed:
        err.print(f"failed: {line}", style="red", markup=False, soft_wrap=True)
    if finished.failed or summary.unusable:
        raise typer.Exit(1)


def failed_trials(found: SearchOutcome) -> str:
    """How many trials failed. Empty where none did, and where none was completed: then the search failed as a whole."""
    failed = [trial for trial in found.trials if trial.state == "failed"]
    if found.best is None or not failed:
        return ""
    first = failed[0]
    return f"search: {len(failed)} of {len(found.trials)} trials failed, the first, {first.arm}: {first.reason}"


def again(
    file: Path, data: str | None, scale: str, overrides: Sequence[str], skip_corrupt: bool, parallel: int
) -> list[str]:
    """The words that start the same experiment again."""
    words = ["bakeoff", "run", str(file)]
    words += [] if data is None else ["--data", data]
    words += [] if scale == FULL else ["--scale", scale]
    for override in overrides:
        words += ["--set", override]
    words += ["--skip-corrupt"] if skip_corrupt else []
    return words + (["--parallel", str(parallel)] if parallel > 1 else [])


@ends_well
def report(
    name: Annotated[str, typer.Argument(help="Name of an experiment that was run.")],
    style: Annotated[ReportFormat, typer.Option("--format", help="html prints the path, the others the text.")] = (
        ReportFormat.HTML
    ),
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="First compute every metric anew from the kept predictions.")
    ] = False,
) -> None:
    """Give the report of an experiment."""
    home = Home()
    folder = home.home / "reports" / name
    file = folder / ("summary.json" if style is ReportFormat.JSON else f"report.{style.value}")
    if not file.is_file():
        known = sorted(p.name for p in folder.parent.iterdir() if p.name[0] != ".") if folder.parent.is_dir() else []
        raise NotFoundError(f"no report of {name!r}; there are: {', '.join(known) or 'none, use bakeoff run'}")
    if recompute:
        with Stack(home, say).with_services(["evaluator"]):
            remake(folder, home.directory.target("evaluator"), home.open_store())
    if style is ReportFormat.HTML:
        print(file)
        if show:
            open_in_browser(file)
        return
    sys.stdout.write(file.read_text())


def read_summary(folder: Path) -> Summary:
    """The summary beside a report."""
    path = folder / "summary.json"
    return parse_summary(path.read_bytes(), str(path))


def print_verdict(summary: Summary) -> None:
    """The verdict table on the terminal."""
    say_plain(summary.title, style="italic")
    table = Table(header_style="bold", box=None, pad_edge=False)
    for name in ("arm", "framework", "format", "runtime", "seed"):
        table.add_column(name)
    for name in ("accuracy", "F1", "parity", "size kB", "train s", "images/s", "p50 ms", "p99 ms"):
        table.add_column(name, justify="right")
    for row in summary.rows:
        table.add_row(*_cells(row))
    out.print(table)
    say_plain(f"\n{summary.verdict.headline}", style="bold")
    say_plain(summary.verdict.reason)
    for pick in summary.verdict.picks:
        say_plain(f"  {pick.title}: {summary.rows[pick.row].label}, {pick.value}. {pick.detail}")
    for arm in summary.arms:
        say_plain(f"  {arm.name}: {arm.finding}")
    for pair in summary.defaults:
        say_plain(f"  framework or defaults? {_defaults(pair)}")
    for claim in summary.claims:
        say_plain(f"  claim: {claim}")
    for note in summary.notes:
        say_plain(f"  note: {note}", style="dim")


def _defaults(pair: DefaultsTest) -> str:
    """Two frameworks, their difference in either mode, and what may be said of it."""
    own, equal = (f"{100 * test.mean:+.2f} points" if test else "not scored" for test in (pair.own, pair.equal))
    names = f"{labels.framework(pair.first)} − {labels.framework(pair.second)} ({pair.idiomatic} / {pair.matched})"
    return f"{names}: {own} with own defaults, {equal} matched. {pair.finding}"


def say_plain(text: str, style: str | None = None) -> None:
    """Prints text in which brackets are brackets, not markup."""
    out.print(text, style=style, markup=False, highlight=False)


def _cells(row: Row) -> list[str]:
    load = row.load
    measured = [row.accuracy, row.macro_f1]
    parity = row.parity or row.export_parity
    made = f"{row.format}-{row.precision}" if row.quantised else row.format
    return [
        *(row.arm, row.framework, made, row.runtime, str(row.seed)),
        *("–" if value is None else f"{value:.4f}" for value in measured),
        f"{parity.largest_difference:.1e}",
        f"{row.size_bytes / 1000:,.0f}",
        f"{row.training_seconds:.1f}" + "*" * row.training_contended,
        f"{repeats.typical(load, repeats.throughput):,.0f}" if load else "–",
        f"{repeats.typical(load, repeats.p50):.2f}" if load else "–",
        f"{repeats.typical(load, repeats.p99):.2f}" if load else "–",
    ]


def open_in_browser(path: Path) -> None:
    """Opens a file where a person sits in front of the machine; elsewhere its path has been printed."""
    open_url(path.absolute().as_uri())


def open_url(url: str) -> None:
    """Opens an address where a person sits in front of the machine; elsewhere it has been printed."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        say("no display here: open it on a machine that has one")
        return
    webbrowser.open(url)
