"""Prepared arrays and original images as torch reads them."""

import multiprocessing
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from core.errors import InvalidInputError, KilledError
from core.prepared import Split
from core.schemas.recipe import Recipe
from trainer.ahead import ahead
from trainer.batches import matched_batches, steps_per_epoch
from trainer.layers import Architecture
from trainer.originals import Originals

SHARED_MEMORY = Path("/dev/shm")
FORK = "fork"
"""How the processes of a loader start, whatever the default is where the training runs."""
Masks = dict[str, Tensor]
Transform = Callable[[Any], Any]


class ArrayDataset(Dataset[tuple[Tensor, int]]):
    """A split as a map-style data set: (uint8 [height, width, channels], label), read from the memory map on demand."""

    def __init__(self, split: Split, classes: tuple[str, ...]) -> None:
        with warnings.catch_warnings():  # of memory that cannot be written to: nobody does
            warnings.simplefilter("ignore", UserWarning)
            self._images = torch.from_numpy(np.asarray(split.images))
        self._labels: list[int] = split.labels.tolist()
        self.vocab = classes
        """Class names under the name fastai looks for."""

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._images[index], self._labels[index]

    def new_empty(self) -> "ArrayDataset":
        """The same without images: what fastai keeps in an exported learner."""
        nothing = Split(np.empty((0, *self._images.shape[1:]), np.uint8), np.empty(0, np.int64))
        return ArrayDataset(nothing, self.vocab)


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


def decoding_workers(originals: Originals | None, batch_size: int, threads: int) -> int:
    """How many processes of a DataLoader decode originals: one for each thread of the training.

    None for arrays, which need no decoding; none where their batches, two ahead in each, would fill half of the shared
    memory they pass through (a container has 64 MB of it unless it asks for more); none where processes cannot start
    as forks, which our data sets need. The number is the same in every attempt: workers draw their own numbers.
    """
    if originals is None or FORK not in multiprocessing.get_all_start_methods() or not SHARED_MEMORY.is_dir():
        return 0
    batches = (2 * threads + 1) * batch_size * prod(originals.spec.shape)
    return threads if batches < shutil.disk_usage(SHARED_MEMORY).total / 2 else 0


@contextmanager
def own_words() -> Iterator[None]:
    """An error of a worker process in its own words: torch puts them below a traceback.

    Raises:
        KilledError: one was killed.
    """
    try:
        yield
    except InvalidInputError as error:
        raise InvalidInputError(str(error).rsplit(f"{InvalidInputError.__name__}: ", 1)[-1].strip()) from error
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise KilledError(str(error)) from error


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
        for batch in ahead(matched_batches(self.split, self.architecture, *keys)):
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
