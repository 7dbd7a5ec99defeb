"""`bakeoff promote` and `bakeoff rollback`."""

from pathlib import Path
from typing import Annotated

import typer

from core import promotion
from core.errors import BakeoffError
from core.formats import get_format
from core.promotion import Evidence, Promotion
from core.results import read_result
from core.schemas.artifact import Artifact
from core.schemas.results import EvaluateResult
from core.store import Store
from services.cli.context import Home, ends_well, out
from services.cli.services import say

ForceOption = Annotated[
    bool, typer.Option("--force", help="Even where classes, input or format differ from the present version.")
]


@ends_well
def promote(
    candidate: Annotated[str, typer.Argument(help="Name of a model, see bakeoff models.")],
    name: Annotated[str, typer.Option("--as", help="Name in production, the one that clients know.")],
    version: Annotated[int | None, typer.Option(help="Version of the candidate; default: the newest.", min=1)] = None,
    force: ForceOption = False,
) -> None:
    """Copy a model into the production repository as the next version of a name.

    Its card, temperature and threshold go along, where it was evaluated.
    """
    home = Home()
    candidates, production = home.open_repository(candidate), home.open_production(name)
    number = version or candidates.latest(candidate)
    found = find_evidence(home, candidates.artifact(candidate, number))
    done = promotion.promote(candidates, candidate, number, production, name, force, found)
    _report(done, production.place)
    if done.published:
        _say_evidence(found)
    else:
        say("nothing was written: the version that is there keeps the card it came with")


@ends_well
def rollback(
    name: Annotated[str, typer.Argument(help="Name in production.")],
    to: Annotated[
        int | None, typer.Option("--to", help="Version to return to; default: the one before.", min=1)
    ] = None,
    force: ForceOption = False,
) -> None:
    """Publish an earlier version of a production model again, as its next version."""
    production = Home().open_production(name)
    _report(promotion.rollback(production, name, to, force), production.place)


def find_evidence(home: Home, artifact: Artifact) -> Evidence:
    """The card in the reports and the operating point in the store, both of these very bytes."""
    card = next((text for text in _cards(home.home / "reports", artifact) if artifact.digest in text), None)
    evaluation = _evaluation(home.open_store(), artifact)
    return Evidence(card, evaluation.operating if evaluation else None)


def _cards(reports: Path, artifact: Artifact) -> list[str]:
    """Cards of this name and version, those of the newest report first."""
    found = reports.glob(f"*/cards/{artifact.name}-v{artifact.version}.md")
    return [path.read_text() for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)]


def _evaluation(store: Store, artifact: Artifact) -> EvaluateResult | None:
    """On its own data, by the runtime that production serves it with; of several one that chose an operating point."""
    own, found = get_format(artifact.format).runtime, None
    for result_id in store.ids("results"):
        if not result_id.startswith("evaluate-"):
            continue
        try:
            result = read_result(store, result_id)
        except BakeoffError:  # Of another version: the report names it, here it is of no use.
            continue
        if not isinstance(result, EvaluateResult) or result.spec.artifact != artifact.digest:
            continue
        if (result.spec.runtime, result.spec.data) != (own, artifact.data_fingerprint):
            continue
        if result.operating is not None:
            return result
        found = result
    return found


def _report(done: Promotion, place: str) -> None:
    artifact, origin = done.artifact, done.artifact.origin
    source = f", from {origin.name} version {origin.version}" if origin else ""
    state = "published" if done.published else "already the newest"
    text = f"{artifact.name} version {artifact.version} {state} in {place}{source} (sha256 {artifact.digest[:12]})"
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def _say_evidence(found: Evidence) -> None:
    if found.card is None and found.operating is None:
        say("no evaluation of these files was found: promoted without card, temperature and threshold")
        return
    along = ["card"] if found.card else []
    if point := found.operating:
        along.append(f"temperature {point.temperature.value:.3f}")
        along += [f"threshold {point.threshold.value:.4f} for {point.threshold.positive}"] if point.threshold else []
    say(f"with {', '.join(along)}")
