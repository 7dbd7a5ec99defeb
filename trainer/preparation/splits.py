"""Divides items into train, validation and test, by class, the same way every time.

Rounding: of a class with n items, a split with share s gets n·s items rounded half up, but at least one, and the train
split keeps at least one. So every class of at least three items is in every split.
"""

from math import floor

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.schemas.data import SPLITS, SplitSpec
from trainer.random import generator

Indices = NDArray[np.int64]


def divide(labels: Indices, classes: tuple[str, ...], own: dict[str, Indices], spec: SplitSpec) -> dict[str, Indices]:
    """Item numbers of each split, ascending.

    Args:
        labels: [n] class of each item.
        classes: names, for errors.
        own: the source's own splits to item numbers; empty where it has none.

    Raises:
        InvalidInputError: a class that is missing from a split or too small to be divided, named.
    """
    if spec.policy == "given":
        splits = _given(labels, classes, own, spec)
    elif spec.is_k_fold:
        splits = _folded(labels, classes, spec)
    else:
        splits = _pooled(labels, classes, spec)
    check(splits, labels, classes)
    return splits


def check(splits: dict[str, Indices], labels: Indices, classes: tuple[str, ...]) -> None:
    """Raises InvalidInputError for a class that has no item in one of the splits, naming both."""
    counts = {name: np.bincount(labels[items], minlength=len(classes)) for name, items in splits.items()}
    for label, name in enumerate(classes):
        missing = [split for split in splits if not counts[split][label]]
        if missing:
            present = ", ".join(f"{counts[split][label]} in {split}" for split in splits if split not in missing)
            raise InvalidInputError(
                f"class {name!r} has no images in split {' and '.join(missing)} ({present or 'none anywhere'}); "
                "add some, remove the class, or choose split policy stratified"
            )


def _given(labels: Indices, classes: tuple[str, ...], own: dict[str, Indices], spec: SplitSpec) -> dict[str, Indices]:
    everything = np.arange(len(labels), dtype=np.int64)
    splits = {name: np.sort(items) for name, items in own.items()} or {"train": everything}
    if "train" not in splits:
        raise InvalidInputError(
            f"the source has no train split, only {', '.join(splits)}; choose split policy stratified"
        )
    if "test" not in splits:
        # The share is one of all items, so that a source with and one without a validation split give the same.
        _carve(splits, "test", spec.test, np.bincount(labels, minlength=len(classes)), labels, classes, spec.seed)
    if "validation" not in splits:
        sizes = np.bincount(labels[splits["train"]], minlength=len(classes))
        _carve(splits, "validation", spec.validation, sizes, labels, classes, spec.seed)
    return {name: splits[name] for name in SPLITS}


def _carve(
    splits: dict[str, Indices],
    name: str,
    share: float,
    sizes: Indices,
    labels: Indices,
    classes: tuple[str, ...],
    seed: int,
) -> None:
    """Moves a random share (of `sizes`, per class) of the train split into a new split."""
    train = splits["train"]
    # At least one image stays for training, and one for each split that is still to be carved.
    keep = sum(split not in splits or split == "train" for split in SPLITS if split != name)
    taken = []
    for label, class_name in enumerate(classes):
        items = train[labels[train] == label]
        count = min(_share(int(sizes[label]), share), len(items) - keep)
        if count < 1:
            raise InvalidInputError(
                f"class {class_name!r} has {_images(len(items))} left to train on, too few to take a {name} split "
                f"from, which needs {keep + 1}; add images or remove the class"
            )
        taken.append(_shuffled(items, seed, name, class_name)[:count])
    splits[name] = np.sort(np.concatenate(taken))
    splits["train"] = np.setdiff1d(train, splits[name])


def _pooled(labels: Indices, classes: tuple[str, ...], spec: SplitSpec) -> dict[str, Indices]:
    """All items, whatever the source's own splits, divided by class: at random, or into consecutive blocks."""
    parts: dict[str, list[Indices]] = {name: [] for name in SPLITS}
    for label, class_name in enumerate(classes):
        items = np.flatnonzero(labels == label)
        total = len(items)
        if total < len(SPLITS):
            raise InvalidInputError(
                f"class {class_name!r} has {_images(total)}; a split into {', '.join(SPLITS)} needs at least "
                f"{len(SPLITS)}"
            )
        if spec.policy == "stratified":
            items = _shuffled(items, spec.seed, "stratified", class_name)
        test = min(_share(total, spec.test), total - 2)
        validation = min(_share(total, spec.validation), total - test - 1)
        train = total - test - validation
        for name, part in zip(SPLITS, np.split(items, [train, train + validation]), strict=True):
            parts[name].append(part)
    return {name: np.sort(np.concatenate(chosen)) for name, chosen in parts.items()}


def _folded(labels: Indices, classes: tuple[str, ...], spec: SplitSpec) -> dict[str, Indices]:
    """All items, in parts by class; the same parts for every fold, so that each item is tested once.

    The validation items are those after the test part, cyclically: with blocks they lie together too.
    """
    parts: dict[str, list[Indices]] = {name: [] for name in SPLITS}
    for label, class_name in enumerate(classes):
        items = np.flatnonzero(labels == label)
        total = len(items)
        if total < max(spec.folds, len(SPLITS)):
            raise InvalidInputError(
                f"class {class_name!r} has {_images(total)}, fewer than {spec.folds} folds and three splits need; "
                "lower split.folds, add images, or remove the class"
            )
        if spec.policy == "k-fold":
            items = _shuffled(items, spec.seed, "k-fold", class_name)
        starts = [total * part // spec.folds for part in range(spec.folds + 1)]
        first, end = starts[spec.fold], starts[spec.fold + 1]
        rest = np.concatenate([items[end:], items[:first]])
        validation = min(_share(total, spec.validation), len(rest) - 1)
        for name, part in zip(SPLITS, (rest[validation:], rest[:validation], items[first:end]), strict=True):
            parts[name].append(part)
    return {name: np.sort(np.concatenate(chosen)) for name, chosen in parts.items()}


def _share(total: int, share: float) -> int:
    return max(1, floor(total * share + 0.5))


def _shuffled(items: Indices, seed: int, purpose: str, class_name: str) -> Indices:
    return generator(seed, "split", purpose, class_name).permutation(items)


def _images(count: int) -> str:
    return f"{count} image{'s' * (count != 1)}"
