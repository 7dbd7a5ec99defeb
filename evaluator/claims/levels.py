"""Accuracies that say nothing: those of a model that always answers the same."""

from collections.abc import Mapping

from core.schemas.study import Measure
from core.schemas.summary import Summary
from evaluator.intervals import wilson

SPLITS: Mapping[Measure, str] = {
    "accuracy": "test",
    "train_accuracy": "train",
    "validation_accuracy": "validation",
}
"""Measure to the images it is of."""
AT_CHANCE = "at chance level"


def chance(summary: Summary, split: str) -> float | None:
    """What always answering the largest class gets right; one in as many as there are classes where their shares are
    not known, None where not even that is."""
    if summary.data is None:
        return None
    counts = summary.data.counts.get(split, {})
    if images := sum(counts.values()):
        return max(counts.values()) / images
    return 1 / len(summary.data.classes) if summary.data.classes else None


def at_chance(accuracy: float, summary: Summary, split: str) -> bool:
    """Whether an accuracy is not above that by more than the noise of as many images: Wilson's interval at 95 %."""
    level = chance(summary, split)
    images = summary.data.images(split) if summary.data else 0
    return level is not None and images > 0 and wilson(round(accuracy * images), images)[0] <= level
