"""`bakeoff lr-find`: a learning rate for an arm, from a short training at a growing one."""

import math
from pathlib import Path
from typing import Annotated

import typer

from core import files
from core.errors import BakeoffError, InvalidInputError
from core.schemas.results import FindRateResult
from core.schemas.specs import FRAMEWORKS, Framework
from services.cli import rate_plot
from services.cli.context import Home, ends_well, err
from services.cli.formats import FormatOption, ListFormat, show
from services.cli.progress import reporter
from services.cli.services import say
from services.cli.stack import Stack
from services.orchestrator.experiment_file import read_experiment
from services.orchestrator.pretrained import pin_weights
from services.orchestrator.rate_finder import Range, RateFinder


@ends_well
def lr_find(
    file: Annotated[Path, typer.Argument(help="Experiment file, for example experiments/digits.yaml.")],
    arm: Annotated[str | None, typer.Option(help="Arm whose network and recipe are used; default: the first.")] = None,
    framework: Annotated[
        list[str] | None, typer.Option(help="May be repeated; default: all that train the arm.")
    ] = None,
    lowest: Annotated[float, typer.Option(help="First rate.")] = 1e-7,
    highest: Annotated[float, typer.Option(help="Last rate.")] = 10.0,
    steps: Annotated[int, typer.Option(help="Steps, one rate each.", min=20, max=10_000)] = 100,
    data: Annotated[str | None, typer.Option(help="Folder or hub name that replaces the file's data source.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="key.path=value that wins over the file; may be repeated.")
    ] = None,
    style: FormatOption = ListFormat.TABLE,
) -> None:
    """Suggest a learning rate: train a few steps at a rate that grows, and plot the loss over the rate."""
    # Written so that it refuses what is no number too.
    if not 0 < lowest < highest < math.inf:
        raise InvalidInputError(f"--lowest {lowest:g} must be above 0 and below --highest {highest:g}, both finite")
    experiment = pin_weights(read_experiment(file, overrides or (), data))
    name, span = arm or next(iter(experiment.arms)), Range(lowest=lowest, highest=highest, steps=steps)
    chosen = _frameworks(framework, experiment.frameworks_of(name))
    home = Home()
    found: list[FindRateResult] = []
    failed: list[tuple[Framework, BakeoffError]] = []
    with (
        Stack(home, say).with_services([f"trainer-{each}" for each in chosen]),
        reporter(err) as progress,
    ):
        finder = RateFinder(experiment, home.directory, home.open_store(), progress)
        for each in chosen:
            try:
                found.append(finder.find(name, each, span, experiment.seeds[0]))
            except BakeoffError as error:
                failed.append((each, error))
    if found:
        _show(found, home.home / "reports" / f"lr-find-{experiment.name}-{name}.html", style)
    elif len({str(why) for _, why in failed}) == 1:
        raise failed[0][1]  # The same in every framework: a mistake in what was asked for.
    for each, why in failed:
        err.print(f"failed: {each}: {why}", style="red", markup=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def _frameworks(given: list[str] | None, known: tuple[Framework, ...]) -> list[Framework]:
    if unknown := sorted(set(given or ()) - set(FRAMEWORKS)):
        raise InvalidInputError(f"unknown framework {', '.join(unknown)}; known: {', '.join(FRAMEWORKS)}")
    return [name for name in FRAMEWORKS if name in (given or known)]


def _show(found: list[FindRateResult], page: Path, style: ListFormat) -> None:
    rows = [
        {
            "framework": result.spec.framework,
            "valley": f"{result.valley:.2e}",
            "steep": f"{result.steep:.2e}",
            "lowest_loss": f"{min(result.smoothed):.4g}",
            "steps": len(result.rates),
            "ended": "diverged" if result.diverged else "highest rate",
        }
        for result in found
    ]
    show(rows, style)
    files.write_text(page, rate_plot.page(found))
    say("suggested: valley, or steep where it is to learn faster; write it as recipe.optimizer.learning_rate")
    say(f"plot: {page}")
