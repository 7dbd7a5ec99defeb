"""`bakeoff tune`: the server's own program measures; this command shows how it goes and what it chose."""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from core.errors import BakeoffError
from core.formats import get_format
from core.repository import ModelRepository
from services.cli.context import Home, ends_well, err
from services.cli.formats import FormatOption, ListFormat, show
from services.cli.services import say


@ends_well
def tune(
    models: Annotated[list[str], typer.Argument(help="Names of models, see bakeoff models.")],
    seconds: Annotated[float, typer.Option(help="Time for each model, about.", min=1)] = 20.0,
    production: Annotated[bool, typer.Option("--production", help="Of the promoted models.")] = False,
    style: FormatOption = ListFormat.TABLE,
) -> None:
    """Measure how each model is best computed on this machine: instances, threads, batch size, delay.

    Capacity is the images per second that the CPU time spent would allow on cores of its own: other work on the machine
    blurs it less than the rate by the clock. A server with the same cache directory uses the choice when it next loads
    the model.
    """
    home = Home()
    repository = home.open_production() if production else home.open_repository()
    rows, errors = [], []
    with _bars() as bars:
        task = bars.add_task("", total=None, now="")
        for told in _measured(home, repository, models, seconds):
            if "tuned" in told:
                rows.append(_row(told["tuned"]))
            elif "error" in told:
                errors.append(f"{told['model']}: {told['error']}")
            else:
                bars.update(
                    task, description=told["model"], completed=told["progress"], total=told["total"], now=told["text"]
                )
    if rows:
        show(rows, style)
    if errors:
        raise BakeoffError("; ".join(errors))
    if style is ListFormat.TABLE:
        say(f"kept in {_cache(home)}; a server uses it when it next loads the model")


def _bars() -> Progress:
    columns = (TextColumn("[bold]{task.description}"), BarColumn(bar_width=28), TimeElapsedColumn())
    return Progress(*columns, TextColumn("{task.fields[now]}", style="dim", markup=False), console=err, transient=True)


def _cache(home: Home) -> Path:
    return home.cache / "serving"


def _measured(home: Home, repository: ModelRepository, names: list[str], seconds: float) -> Iterator[dict[str, Any]]:
    """What the program of each runtime tells, one process after the other: a process holds one runtime."""
    by_runtime: defaultdict[str, list[str]] = defaultdict(list)
    for name in dict.fromkeys(names):
        artifact = repository.artifact(name, repository.latest(name))
        repository.fetch(name, artifact.version)
        by_runtime[get_format(artifact.format).runtime].append(name)
    for runtime, chosen in by_runtime.items():
        command = [sys.executable, "-m", "services.serving.tune", "--runtime", runtime, "--trust-repository"]
        command += ["--repository", str(repository.root), "--cache", str(_cache(home)), "--seconds", str(seconds)]
        yield from _lines([*command, *chosen], runtime)


def _lines(command: list[str], runtime: str) -> Iterator[dict[str, Any]]:
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        failed = False
        try:
            for line in process.stdout:
                told = json.loads(line)
                failed |= "error" in told
                yield told
        except BaseException:
            process.terminate()
            raise
    if process.returncode and not failed:
        raise BakeoffError(f"measuring with the {runtime} runtime ended with status {process.returncode}, see above")


def _row(tuned: dict[str, Any]) -> dict[str, Any]:
    choice = tuned["choice"]
    return {
        "model": tuned["model"],
        **choice,
        "capacity": round(tuned["capacity"]),
        "default_capacity": round(tuned["default_capacity"]),
        "images_per_s": round(tuned["images_per_s"]),
        "p99_ms": tuned["p99_ms"],
        "trials": tuned["trials"],
        "load_average": tuned["load_average"],
    }
