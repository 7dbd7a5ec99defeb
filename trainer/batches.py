"""Matched batches: the same images in the same order with the same dropout masks, for every framework."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.prepared import Split
from core.schemas.augmentation import Augmentation
from trainer.augmentation import Augmenter
from trainer.layers import Architecture, Dropout
from trainer.random import generator

Sampler = Literal["shuffle", "weighted"]


@dataclass(frozen=True)
class Batch:
    """One step's input.

    `images` uint8 [n, height, width, channels]; `labels` int64 [n]; `masks` by dropout path: uint8 [n, *shape], 1 keeps
    the value (the framework scales kept values by 1 / (1 − rate)), channels last as everywhere.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    masks: dict[str, NDArray[np.uint8]]


def steps_per_epoch(images: int, batch_size: int) -> int:
    """The last, partial batch counts."""
    return -(-images // batch_size)


def epoch_order(labels: NDArray[np.int64], seed: int, epoch: int, sampler: Sampler) -> NDArray[np.int64]:
    """Indices of the images of one epoch, as many as there are [n].

    shuffle: each once. weighted: drawn with replacement, each class that has images equally likely.
    """
    draw = generator(seed, "order", epoch)
    if sampler == "shuffle":
        return draw.permutation(len(labels))
    return draw.choice(len(labels), len(labels), p=balanced_chances(labels))


def balanced_chances(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each image's chance [n] to be drawn such that every class is equally likely; they sum to one."""
    chances = 1.0 / np.bincount(labels)[labels]
    shares: NDArray[np.float64] = chances / chances.sum()
    return shares


def matched_batches(
    split: Split,
    architecture: Architecture,
    seed: int,
    epoch: int,
    batch_size: int,
    augmentation: Augmentation | None = None,
    sampler: Sampler = "shuffle",
) -> Iterator[Batch]:
    """The batches of one epoch (from 1), shuffled or sampled, the last partial one included.

    Order, augmentation and masks depend only on (seed, epoch, step, item or layer), so an epoch can be repeated or
    resumed exactly.
    """
    vary = Augmenter(augmentation or Augmentation(), seed, epoch, len(split))
    order = epoch_order(split.labels, seed, epoch, sampler)
    for step in range(steps_per_epoch(len(split), batch_size)):
        # Sorted rows read a memory map forwards; the order inside a batch does not matter to the mean.
        rows = np.sort(order[step * batch_size : (step + 1) * batch_size])
        masks = {node.path: _mask(node.layer, node.output_shape, len(rows), (seed, "mask", epoch, step, node.path))
                 for node in architecture.dropouts if isinstance(node.layer, Dropout)}  # fmt: skip
        yield Batch(vary(np.ascontiguousarray(split.images[rows]), rows), split.labels[rows], masks)


def _mask(layer: Dropout, shape: tuple[int, ...], rows: int, key: tuple[int | str, ...]) -> NDArray[np.uint8]:
    # 16 random bits a value: rates are exact to 1.5e-5 and drawing costs a quarter of doubles.
    bits = generator(*key).integers(0, 65536, size=(rows, *shape), dtype=np.uint16)
    return (bits >= round(layer.rate * 65536)).astype(np.uint8)
