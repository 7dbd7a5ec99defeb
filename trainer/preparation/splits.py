"""Divides items into train, validation and test, by class, the same way every time.

Rounding: of a class with n items, a split with share s gets n·s items rounded half up, but at least one, and the train
split keeps at least one. So every class of at least three items is in every split. Of two items one is to train on and
one to test on; a single one is to train on. A number of validation images instead of a share is exact: a class that
cannot give them and still be trained on is refused.
"""

from math import floor

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.schemas.data import SPLITS, SplitSpec
from trainer.random import generator

Indices = NDArray[np.int64]
PURPOSES = {"train": "learn from", "validation": "follow the training by", "test": "evaluate on"}
"""What each split is for, for errors."""


def divide(
    labels: Indices, classes: tuple[str, ...], own: dict[str, Indices], spec: SplitSpec, limit: int | None = None
) -> dict[str, Indices]:
    """Item numbers of each split, ascending.

    Args:
        labels: [n] class of each item.
        classes: names, for errors.
        own: the source's own splits to item numbers; empty where it has none.
        limit: at most so many items of each class in each split; see `thin`. Folds divide what it leaves of train and
            validation, so that every item left is validated in exactly one of them.

    Raises:
        InvalidInputError: a split without images, or a class without one to train on, or without the validation images
            that the spec asks for, named.
    """
    splits = _given(labels, classes, own, spec) if spec.policy == "given" else _pooled(labels, classes, spec)
    if limit is not None:
        splits = thin(splits, labels, classes, spec, limit)
    if spec.folds is not None:
        splits = _folded(splits, labels, classes, spec, spec.folds)
    check(splits, labels, classes)
    return splits


def thin(
    splits: dict[str, Indices], labels: Indices, classes: tuple[str, ...], spec: SplitSpec, limit: int
) -> dict[str, Indices]:
    """At most `limit` items of each class in each split, ascending; contiguous blocks keep their first items."""

    def chosen(split: str, items: Indices) -> Indices:
        if spec.policy != "contiguous":
            items = (
                _shuffled(items, spec.seed, f"limit-{split}", classes[int(labels[items[0]])]) if len(items) else items
            )
        return items[:limit]

    return {
        name: np.sort(np.concatenate([chosen(name, items[labels[items] == label]) for label in range(len(classes))]))
        for name, items in splits.items()
    }


def check(splits: dict[str, Indices], labels: Indices, classes: tuple[str, ...]) -> None:
    """Refuses what nothing could be learnt from or measured on.

    A class without validation or test images is no reason: what is there is trained and measured,
    and `PreparedManifest.without` names it.

    Raises:
        InvalidInputError: a split without any image, or a class without one in the train split, named.
    """
    counts = {name: np.bincount(labels[items], minlength=len(classes)) for name, items in splits.items()}
    sizes = ", ".join(f"{_images(len(items))} in {name}" for name, items in splits.items())
    if empty := next((name for name, items in splits.items() if not len(items)), None):
        raise InvalidInputError(
            f"the {empty} split has no images ({sizes}), so there would be nothing to {PURPOSES[empty]}; put images of "
            f"each class into it, leave it out of the source so that it is taken from the training images (policy "
            "given), or choose split policy stratified"
        )
    if unlearnt := [name for label, name in enumerate(classes) if not counts["train"][label]]:
        label = classes.index(unlearnt[0])
        present = ", ".join(f"{found[label]} in {split}" for split, found in counts.items() if found[label])
        others = f", nor has any of {len(unlearnt) - 1} other classes" if len(unlearnt) > 1 else ""
        remedy = "add some or remove the class" + (", or choose split policy stratified" if present else "")
        raise InvalidInputError(
            f"class {unlearnt[0]!r} has no image in the train split ({present or 'none anywhere'}){others}: nothing "
            f"could learn it; {remedy}"
        )


def _given(labels: Indices, classes: tuple[str, ...], own: dict[str, Indices], spec: SplitSpec) -> dict[str, Indices]:
    everything = np.arange(len(labels), dtype=np.int64)
    splits = {name: np.sort(items) for name, items in own.items()} or {"train": everything}
    if "train" not in splits:
        raise InvalidInputError(
            f"the source has no train split, only {', '.join(splits)}; choose split policy stratified"
        )
    if spec.own_validation == "join" and "validation" in splits:
        splits["train"] = np.sort(np.concatenate([splits["train"], splits.pop("validation")]))
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
    part: float | int,
    sizes: Indices,
    labels: Indices,
    classes: tuple[str, ...],
    seed: int,
) -> None:
    """Moves a random part of the train split into a new split: a share of `sizes`, or a number, of each class."""
    train = splits["train"]
    # An image for each split that is still to be carved stays, where there are enough; one to train on always.
    keep = sum(split not in splits or split == "train" for split in SPLITS if split != name)
    taken = []
    for label, class_name in enumerate(classes):
        items = train[labels[train] == label]
        if isinstance(part, int):
            count = _exactly(part, len(items), class_name)
        else:
            spare = max(len(items) - keep, min(len(items) - 1, 1))
            count = max(0, min(_share(int(sizes[label]), part), spare))
        taken.append(_shuffled(items, seed, name, class_name)[:count])
    splits[name] = np.sort(np.concatenate(taken))
    splits["train"] = np.setdiff1d(train, splits[name])


def _pooled(labels: Indices, classes: tuple[str, ...], spec: SplitSpec) -> dict[str, Indices]:
    """All items, whatever the source's own splits, divided by class: at random, or into consecutive blocks."""
    parts: dict[str, list[Indices]] = {name: [] for name in SPLITS}
    for label, class_name in enumerate(classes):
        items = np.flatnonzero(labels == label)
        total = len(items)
        if spec.policy == "stratified":
            items = _shuffled(items, spec.seed, "stratified", class_name)
        test = max(0, min(_share(total, spec.test), max(total - 2, min(total - 1, 1))))
        if isinstance(spec.validation, int):
            validation = _exactly(spec.validation, total - test, class_name)
        else:
            validation = max(0, min(_share(total, spec.validation), total - test - 1))
        train = total - test - validation
        for name, part in zip(SPLITS, np.split(items, [train, train + validation]), strict=True):
            parts[name].append(part)
    return {name: np.sort(np.concatenate(chosen)) for name, chosen in parts.items()}


def _folded(
    splits: dict[str, Indices], labels: Indices, classes: tuple[str, ...], spec: SplitSpec, folds: int
) -> dict[str, Indices]:
    """Train and validation divided anew: part `fold` of each class is for validation. Test stays as it is."""
    pool = np.sort(np.concatenate([splits["train"], splits["validation"]]))
    parts: list[list[Indices]] = [[] for _ in range(folds)]
    for label, class_name in enumerate(classes):
        items = pool[labels[pool] == label]
        if len(items) < folds:
            raise InvalidInputError(
                f"class {class_name!r} has {_images(len(items))} beside the test split, fewer than {folds} folds; "
                "lower data.split.folds, raise data.limit where it leaves so few, or add images"
            )
        if spec.policy != "contiguous":
            items = _shuffled(items, spec.seed, "folds", class_name)
        # Begins with another fold for each class: remainders do not all fall to the first ones.
        for number, part in enumerate(np.array_split(items, folds)):
            parts[(number + label) % folds].append(part)
    rest = [part for number, chosen in enumerate(parts) if number != spec.fold for part in chosen]
    validation = np.sort(np.concatenate(parts[spec.fold]))
    return {"train": np.sort(np.concatenate(rest)), "validation": validation, "test": splits["test"]}


def _exactly(count: int, available: int, class_name: str) -> int:
    """The number of validation images of a class; refused where it leaves none to train on."""
    if count < available:
        return count
    raise InvalidInputError(
        f"class {class_name!r} has {_images(available)} beside the test split, of which {count} for validation would "
        "leave none to train on; lower data.split.validation or add images"
    )


def _share(total: int, share: float) -> int:
    return max(1, floor(total * share + 0.5))


def _shuffled(items: Indices, seed: int, purpose: str, class_name: str) -> Indices:
    return generator(seed, "split", purpose, class_name).permutation(items)


def _images(count: int) -> str:
    return f"{count} image{'s' * (count != 1)}"
