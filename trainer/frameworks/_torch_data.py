"""Prepared arrays and original images as torch reads them."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from core.prepared import Split
from core.schemas.recipe import Recipe
from trainer.ahead import ahead
from trainer.batches import drawn_together, matched_batches, steps_per_epoch
from trainer.layers import Architecture

Masks = dict[str, Tensor]
Transform = Callable[[Any], Any]


class ArrayDataset(Dataset[tuple[Tensor, int]]):
    """A split as a map-style data set: (uint8 [height, width, channels], label), read from the memory map on demand."""

    def __init__(self, split: Split) -> None:
        with warnings.catch_warnings():  # of memory that cannot be written to: nobody does
            warnings.simplefilter("ignore", UserWarning)
            self._images = torch.from_numpy(np.asarray(split.images))
        self._labels: list[int] = split.labels.tolist()

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._images[index], self._labels[index]


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """Pillow images, opened when they are asked for, through transforms that end in a tensor."""

    def __init__(
        self, open_image: Callable[[int], Image.Image], labels: NDArray[np.int64], transform: Transform
    ) -> None:
        self.open_image = open_image
        self.labels = labels
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.open_image(index)), int(self.labels[index])


class MatchedLoader:
    """The matched batches of one epoch after the other: (images, masks, labels), drawn ahead in a thread."""

    def __init__(self, split: Split, architecture: Architecture, seed: int, recipe: Recipe) -> None:
        self.split = split
        self.architecture = architecture
        self.seed = seed
        self.recipe = recipe
        self.batch_size = recipe.batch
        self.epoch = 1
        """The epoch the next iteration reads, from 1; set by whoever trains."""

    def __len__(self) -> int:
        return steps_per_epoch(len(self.split), self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Masks, Tensor]]:
        recipe = self.recipe
        keys = (self.seed, self.epoch, recipe.batch, recipe.augmentation, recipe.sampler)
        together = drawn_together(recipe.batch, self.architecture, masks=True)
        for batch in ahead(matched_batches(self.split, self.architecture, *keys), together):
            masks = {path: torch.from_numpy(mask) for path, mask in batch.masks.items()}
            yield torch.from_numpy(batch.images), masks, torch.from_numpy(batch.labels)


class SequentialLoader:
    """A split in its own order: (images, labels), the last batch shorter."""

    def __init__(self, split: Split, batch_size: int) -> None:
        self.split = split
        self.batch_size = batch_size

    def __len__(self) -> int:
        return steps_per_epoch(len(self.split), self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(self.split), self.batch_size):
            rows = slice(start, start + self.batch_size)
            # np.array copies: torch refuses to share the read-only memory of a map.
            yield (
                torch.from_numpy(np.array(self.split.images[rows])),
                torch.from_numpy(np.array(self.split.labels[rows])),
            )
