"""What a training minimises, as numbers every framework computes with alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.recipe_fit import check_class_weights
from core.schemas.recipe import Recipe


@dataclass(frozen=True)
class Objective:
    """The loss of a recipe.

    Of an image: −Σ tₖ log pₖ or the mean of (pₖ − tₖ)², t being the smoothed target, times its class's weight. Of a
    batch: their mean, or, with `normalized`, their sum over the sum of the weights, as torch has it.
    """

    kind: Literal["cross_entropy", "mean_squared_error"] = "cross_entropy"
    smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None
    """By class index; in training only. None: all equal."""
    normalized: bool = False

    @property
    def plain(self) -> bool:
        """−log p(label), the one loss every framework has a fast path for; class weights aside."""
        return self.kind == "cross_entropy" and self.smoothing == 0.0


def objective(recipe: Recipe, classes: tuple[str, ...], labels: NDArray[np.int64]) -> Objective:
    """The objective of a recipe for training labels int64 [n]."""
    counts = np.bincount(labels, minlength=len(classes))
    weights = class_weights(recipe.class_weights, dict(zip(classes, counts.tolist(), strict=True)))
    return Objective(recipe.loss, recipe.label_smoothing, weights, normalized=recipe.arithmetic == "framework")


def class_weights(
    given: Literal["balanced"] | Mapping[str, float] | None, counts: Mapping[str, int]
) -> tuple[float, ...] | None:
    """Weights by class index; None where all are equal by definition.

    Raises:
        InvalidInputError: a class is unknown.
    """
    if given is None:
        return None
    if given == "balanced":
        # As scikit-learn's compute_class_weight. A class without images gets the weight of one image.
        total = sum(counts.values())
        return tuple(total / (len(counts) * max(count, 1)) for count in counts.values())
    check_class_weights(given, counts)
    weights: Mapping[str, float] = given
    return tuple(float(weights.get(name, 1.0)) for name in counts)
