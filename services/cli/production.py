"""`bakeoff promote` and `bakeoff rollback`."""

from typing import Annotated

import typer

from core import promotion
from core.promotion import Promotion
from services.cli.context import Home, ends_well, out

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
    """Copy a model into the production repository as the next version of a name."""
    home = Home()
    candidates, production = home.open_repository(), home.open_production()
    _report(promotion.promote(candidates, candidate, version, production, name, force), str(production.root))


@ends_well
def rollback(
    name: Annotated[str, typer.Argument(help="Name in production.")],
    to: Annotated[
        int | None, typer.Option("--to", help="Version to return to; default: the one before.", min=1)
    ] = None,
    force: ForceOption = False,
) -> None:
    """Publish an earlier version of a production model again, as its next version."""
    production = Home().open_production()
    _report(promotion.rollback(production, name, to, force), str(production.root))


def _report(done: Promotion, root: str) -> None:
    artifact, origin = done.artifact, done.artifact.origin
    source = f", from {origin.name} version {origin.version}" if origin else ""
    state = "published" if done.published else "already the newest"
    text = f"{artifact.name} version {artifact.version} {state} in {root}{source} (sha256 {artifact.digest[:12]})"
    out.print(text, markup=False, highlight=False, soft_wrap=True)
