"""Matched batches: the same images in the same order with the same dropout masks, for every framework."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.prepared import Split
from core.schemas.augmentation import Augmentation
from trainer.augmentation import Augmenter
from trainer.layers import Architecture, Dropout
from trainer.random import generator

Sampler = Literal["shuffle", "weighted"]
TURN_BYTES, TURN_BATCHES = 4 << 20, 16
"""What is drawn at a time at most, but for a single batch that is larger."""


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


def drawn_together(batch_size: int, architecture: Architecture, masks: bool) -> int:
    """How many batches a thread ahead of the training shall draw in one turn.

    Where all cores compute, each turn interrupts the step that is running: with mnist-cnn on two cores by half a
    millisecond of 8, while a batch of 64 is drawn in 0.05. Small batches are therefore drawn several at a time.

    Args:
        masks: whether dropout masks are drawn with the images.
    """
    shapes = [architecture.input_shape, *(node.output_shape for node in architecture.dropouts if masks)]
    return max(1, min(TURN_BATCHES, TURN_BYTES // (batch_size * sum(map(prod, shapes)))))


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


def view_numbers(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """What each draw of an epoch takes its augmentation from [n]: the image's number when it is drawn first, a new one
    from n on when it is drawn again, so that repeats are varied anew, as in each framework's own pipeline."""
    views = order.copy()
    again = np.ones(len(order), dtype=bool)
    again[np.unique(order, return_index=True)[1]] = False
    views[again] = len(order) + np.arange(np.count_nonzero(again))
    return views


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
    order = epoch_order(split.labels, seed, epoch, sampler)
    views = view_numbers(order)
    vary = Augmenter(augmentation or Augmentation(), seed, epoch, int(views.max(initial=-1)) + 1)
    for step in range(steps_per_epoch(len(split), batch_size)):
        places = slice(step * batch_size, (step + 1) * batch_size)
        # Sorted rows read a memory map forwards; the order inside a batch does not matter to the mean.
        forwards = np.argsort(order[places], kind="stable")
        rows = order[places][forwards]
        masks = {node.path: _mask(node.layer, node.output_shape, len(rows), (seed, "mask", epoch, step, node.path))
                 for node in architecture.dropouts if isinstance(node.layer, Dropout)}  # fmt: skip
        images = vary(np.ascontiguousarray(split.images[rows]), views[places][forwards])
        yield Batch(images, split.labels[rows], masks)


def _mask(layer: Dropout, shape: tuple[int, ...], rows: int, key: tuple[int | str, ...]) -> NDArray[np.uint8]:
    # 16 random bits a value: rates are exact to 1.5e-5 and drawing costs a quarter of doubles.
    bits = generator(*key).integers(0, 65536, size=(rows, *shape), dtype=np.uint16)
    return (bits >= round(layer.rate * 65536)).astype(np.uint8)
