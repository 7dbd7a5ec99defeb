"""The picture of augmented images; what a framework's own loader makes of them is the contract suite's."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from core.prepared import Split
from core.schemas.recipe import Recipe
from trainer import samples
from trainer.batches import epoch_order
from trainer.framework import TrainingData

SIDE = 6
GAP = 2


class OwnLoader:
    """A framework whose own first batch holds as many images as the recipe says, drawn by the recipe's sampler."""

    def first_batch(
        self, model: Any, data: TrainingData, recipe: Recipe
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        rows = epoch_order(data.train.labels, 0, 1, recipe.sampler)[: recipe.batch]
        return data.train.images[rows], data.train.labels[rows]


def data() -> TrainingData:
    """Three classes of grey images, the first one ten times as large."""
    labels = np.repeat([0, 1, 2], [20, 2, 2])
    split = Split(np.random.default_rng(0).integers(0, 256, (len(labels), SIDE, SIDE, 1), dtype=np.uint8), labels)
    return TrainingData(split, split, ("a", "b", "c"))


@pytest.mark.parametrize("pipeline", ["shared", "framework"])
@pytest.mark.parametrize("sampler", ["shuffle", "weighted"])
def test_every_line_is_the_prepared_image_and_all_its_variations_whatever_the_sampler(
    sampler: str, pipeline: str
) -> None:
    recipe = Recipe.model_validate(
        {"mode": "idiomatic", "epochs": 1, "batch_size": 5, "sampler": sampler, "pipeline": pipeline}
        | {"augmentation": {"flip": True}}
    )
    found = samples.picture(OwnLoader(), None, data(), recipe, 0)  # type: ignore[arg-type]
    assert found is not None
    assert found.size == (samples.COLUMNS * (SIDE + GAP) - GAP, 3 * (SIDE + GAP) - GAP)


def test_there_is_no_picture_of_images_that_stay_as_they_are() -> None:
    recipe = Recipe(mode="idiomatic", epochs=1, pipeline="framework", sampler="weighted")
    assert samples.picture(OwnLoader(), None, data(), recipe, 0) is None  # type: ignore[arg-type]
