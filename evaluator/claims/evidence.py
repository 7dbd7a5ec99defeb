"""How much work a verdict needs behind it: seeds, training images and epochs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from core.schemas.study import Study
from evaluator.statistics import SEEDS_NEEDED

SHARE_NEEDED = 0.5
"""Of the study's training images and of its epochs."""
OURS = ", ours: the study names none"
"""Of epochs that are a choice made here."""


@dataclass(frozen=True)
class Epochs:
    """How many one side ran, and of how many."""

    ran: int
    """The fewest that any of its trainings ran."""
    whole: int
    """The study's, or where it names none what the experiment's full size trains."""
    ours: bool = False
    """The study names none."""

    @property
    def enough(self) -> bool:
        """For a verdict on a difference."""
        return self.ran >= SHARE_NEEDED * self.whole

    @property
    def words(self) -> str:
        """`6 of 12 epochs`, and whose they are where they are not the study's."""
        return f"{self.ran} of {self.whole} epochs" + OURS * self.ours

    @property
    def cell(self) -> str:
        """The same in a table with a column of them."""
        return f"{self.ran} of {self.whole}" + " (ours)" * self.ours


def seeds_missing(seeds: int) -> Iterator[str]:
    """That there are fewer than a verdict needs; nothing where there are enough."""
    if seeds < SEEDS_NEEDED:
        yield f"{seeds} of the {SEEDS_NEEDED} seeds a verdict needs"


def shortfalls(study: Study, seeds: int, images: int, epochs: Iterable[Epochs]) -> Iterator[str]:
    """Why something measured may not lead to a verdict; nothing where it may.

    Args:
        epochs: of each side.
    """
    yield from seeds_missing(seeds)
    if images < SHARE_NEEDED * study.images:
        yield f"{images:,} of the study's {study.images:,} images"
    yield from (one.words for one in [one for one in epochs if not one.enough][:1])
