"""How much work a verdict needs behind it: seeds, training images and epochs."""

from collections.abc import Iterable, Iterator

from core.schemas.study import Study
from evaluator.statistics import SEEDS_NEEDED

SHARE_NEEDED = 0.5
"""Of the study's training images and of its epochs."""


def shortfalls(study: Study, seeds: int, images: int, epochs: Iterable[tuple[int, int]]) -> Iterator[str]:
    """Why something measured may not lead to a verdict; nothing where it may.

    Args:
        epochs: for each side the fewest that a training ran, and the study's.
    """
    if seeds < SEEDS_NEEDED:
        yield f"{seeds} of the {SEEDS_NEEDED} seeds a verdict needs"
    if images < SHARE_NEEDED * study.images:
        yield f"{images:,} of the study's {study.images:,} images"
    for ran, published in epochs:
        if ran < SHARE_NEEDED * published:
            yield f"{ran} of {published} epochs"
            break
