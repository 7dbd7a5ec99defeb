"""A picture of augmented training images: each line an image as it was prepared, then as the network sees it."""

import numpy as np
from PIL import Image

from core.prepared import Split
from core.schemas.recipe import Recipe
from trainer.augmentation import Augmenter, grid
from trainer.framework import Framework, Model, TrainingData

ROWS = 4
"""Images, of different classes."""
COLUMNS = 8
"""The prepared image and its variations."""
FILE = "augmented.png"


def picture(framework: Framework, model: Model, data: TrainingData, recipe: Recipe, seed: int) -> Image.Image | None:
    """None where the network sees the prepared images as they are."""
    own = recipe.pipeline == "framework"
    if not recipe.augmentation.active and not (own and data.originals):
        return None
    firsts = [int(np.flatnonzero(data.train.labels == label)[0]) for label in np.unique(data.train.labels)[:ROWS]]
    draw = _own if own else _shared
    return grid(draw(framework, model, data, recipe, seed, firsts))


def _shared(
    _framework: Framework, _model: Model, data: TrainingData, recipe: Recipe, seed: int, items: list[int]
) -> list[np.ndarray]:
    """As the first epochs have them."""
    images = np.asarray(data.train.images[items])
    epochs = [
        Augmenter(recipe.augmentation, seed, epoch, len(data.train))(images, np.array(items))
        for epoch in range(1, COLUMNS)
    ]
    return list(np.stack([images, *epochs], axis=1))


def _own(
    framework: Framework, model: Model, data: TrainingData, recipe: Recipe, _seed: int, items: list[int]
) -> list[np.ndarray]:
    """A batch that holds each image several times, sorted by label again.

    Shuffled whatever the recipe's sampler: a weighted one draws some images more often than others, and one not at all.
    """
    places = items * (COLUMNS - 1)
    few = TrainingData(
        Split(np.asarray(data.train.images[places]), data.train.labels[places]),
        data.validation,
        data.classes,
        data.originals and {**data.originals, "train": data.originals["train"].select(places, "samples")},
    )
    batch = recipe.model_copy(update={"batch_size": len(places), "sampler": "shuffle"})
    images, labels = framework.first_batch(model, few, batch)
    prepared = np.asarray(data.train.images[items])
    return [np.concatenate([prepared[row : row + 1], images[labels == data.train.labels[item]]])
            for row, item in enumerate(items)]  # fmt: skip
