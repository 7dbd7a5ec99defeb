"""Splits are disjoint, complete, by class, rounded as documented, and the same every time."""

from math import floor
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.errors import InvalidInputError
from core.schemas.data import SplitSpec
from trainer.preparation.splits import Indices, divide

NAMES = ("train", "validation", "test")


def spec(policy: str = "stratified", **options: Any) -> SplitSpec:
    return SplitSpec(policy=policy, **options)


def labelled(*counts: int, seed: int | None = 0) -> Indices:
    """Labels with so many items of each class, shuffled unless seed is None."""
    labels = np.repeat(np.arange(len(counts)), counts)
    return labels if seed is None else np.random.default_rng(seed).permutation(labels)


def names(labels: Indices) -> tuple[str, ...]:
    return tuple(f"c{i}" for i in range(int(labels.max()) + 1))


def run(labels: Indices, split: SplitSpec, **own: Indices) -> dict[str, Indices]:
    return divide(labels, names(labels), own, split)


counts_of_classes = st.lists(st.integers(3, 40), min_size=2, max_size=5)
shares = st.tuples(st.floats(0.01, 0.6), st.floats(0.01, 0.6)).filter(lambda pair: sum(pair) < 0.99)


@settings(deadline=None, max_examples=150)
@example(counts=[3, 3], share=(0.25, 0.5), policy="given")
@given(counts=counts_of_classes, share=shares, policy=st.sampled_from(["stratified", "contiguous", "given"]))
def test_splits_are_disjoint_complete_sorted_and_hold_every_class(
    counts: list[int], share: tuple[float, float], policy: str
) -> None:
    labels = labelled(*counts)
    splits = run(labels, spec(policy, validation=share[0], test=share[1]))
    assert tuple(splits) == NAMES
    assert sorted(np.concatenate(list(splits.values())).tolist()) == list(range(len(labels)))
    for items in splits.values():
        assert (np.diff(items) > 0).all()
        assert set(labels[items].tolist()) == set(range(len(counts)))


@settings(deadline=None, max_examples=150)
@given(counts=counts_of_classes, share=shares, policy=st.sampled_from(["stratified", "contiguous"]))
def test_every_class_gets_its_share_rounded_half_up(counts: list[int], share: tuple[float, float], policy: str) -> None:
    labels = labelled(*counts)
    splits = run(labels, spec(policy, validation=share[0], test=share[1]))
    for label, total in enumerate(counts):
        test = min(max(1, floor(total * share[1] + 0.5)), total - 2)
        validation = min(max(1, floor(total * share[0] + 0.5)), total - test - 1)
        found = [int((labels[splits[name]] == label).sum()) for name in NAMES]
        assert found == [total - test - validation, validation, test]


def test_the_seed_decides_which_items_and_nothing_else_does() -> None:
    labels = labelled(30, 30)
    one, same, other = (run(labels, spec(seed=seed)) for seed in (0, 0, 1))
    assert one["test"].tolist() == same["test"].tolist() != other["test"].tolist()


def test_another_class_does_not_change_what_is_drawn_from_a_class() -> None:
    two, three = run(labelled(30, 30, seed=None), spec()), run(labelled(30, 30, 9, seed=None), spec())
    assert two["test"].tolist() == [item for item in three["test"].tolist() if item < 60]


def test_contiguous_blocks_stay_together_in_order_for_each_class() -> None:
    labels = labelled(10, 20, seed=None)
    splits = run(labels, spec("contiguous", validation=0.2, test=0.3))
    assert splits["train"].tolist() == [*range(5), *range(10, 20)]
    assert splits["validation"].tolist() == [5, 6, *range(20, 24)]
    assert splits["test"].tolist() == [7, 8, 9, *range(24, 30)]


def test_a_source_with_all_three_splits_keeps_them() -> None:
    labels = np.array([0, 1] * 6)
    own = {"test": np.arange(8, 12), "train": np.arange(4), "validation": np.arange(4, 8)}
    splits = run(labels, spec("given"), **own)
    assert {name: items.tolist() for name, items in splits.items()} == {k: v.tolist() for k, v in own.items()}
    assert tuple(splits) == NAMES


def test_a_missing_validation_split_is_a_share_of_the_training_items() -> None:
    labels = labelled(50, 100, seed=None)
    test = np.concatenate([np.arange(40, 50), np.arange(130, 150)])
    splits = run(labels, spec("given", validation=0.1), train=np.setdiff1d(np.arange(150), test), test=test)
    np.testing.assert_array_equal(splits["test"], test)
    assert np.bincount(labels[splits["validation"]]).tolist() == [4, 8]
    assert np.bincount(labels[splits["train"]]).tolist() == [36, 72]


def test_a_missing_test_split_is_a_share_of_all_items() -> None:
    labels = labelled(50, 100, seed=None)
    validation = np.concatenate([np.arange(10), np.arange(50, 70)])
    splits = run(labels, spec("given", test=0.2), train=np.setdiff1d(np.arange(150), validation), validation=validation)
    np.testing.assert_array_equal(splits["validation"], validation)
    assert np.bincount(labels[splits["test"]]).tolist() == [10, 20]


def test_other_policies_pool_the_sources_own_splits() -> None:
    labels = labelled(20, 20)
    own = {"train": np.arange(4), "test": np.arange(4, 40)}
    pooled = run(labels, spec("stratified"), **own)
    assert pooled["train"].tolist() == run(labels, spec("stratified"))["train"].tolist()


@pytest.mark.parametrize("split", NAMES)
def test_a_class_missing_from_one_split_is_named_with_that_split(split: str) -> None:
    labels = np.array([0, 1] * 6)
    own = {"train": np.arange(4), "validation": np.arange(4, 8), "test": np.arange(8, 12)}
    own[split] = own[split][labels[own[split]] == 0]
    with pytest.raises(InvalidInputError, match=f"class 'c1' has no images in split {split}"):
        run(labels, spec("given"), **own)


def test_a_class_without_any_image_is_named() -> None:
    with pytest.raises(InvalidInputError, match="class 'unused' has 0 images"):
        divide(labelled(9, 9), ("a", "b", "unused"), {}, spec())


@pytest.mark.parametrize("policy", ["stratified", "contiguous"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_class_too_small_for_three_splits_is_named(policy: str, count: int) -> None:
    with pytest.raises(InvalidInputError, match=f"class 'c1' has {count} images?; .* needs at least 3"):
        run(labelled(10, count), spec(policy))


@pytest.mark.parametrize(("count", "has"), [(1, "1 image"), (2, "2 images")])
def test_a_class_too_small_to_carve_from_is_named(count: int, has: str) -> None:
    message = f"class 'c1' has {has} left to train on, too few to take a test split from, which needs 3;"
    with pytest.raises(InvalidInputError, match=message):
        run(labelled(10, count), spec("given"))


def test_a_source_without_a_train_split_says_which_it_has() -> None:
    with pytest.raises(InvalidInputError, match="no train split, only test"):
        run(labelled(5, 5), spec("given"), test=np.arange(10))


@settings(deadline=None, max_examples=80)
@given(
    counts=st.lists(st.integers(7, 40), min_size=2, max_size=4),
    folds=st.integers(2, 7),
    policy=st.sampled_from(["k-fold", "contiguous-k-fold"]),
)
def test_over_all_folds_every_item_is_tested_once(counts: list[int], folds: int, policy: str) -> None:
    labels = labelled(*counts)
    splits = [run(labels, spec(policy, folds=folds, fold=fold)) for fold in range(folds)]
    assert sorted(np.concatenate([split["test"] for split in splits]).tolist()) == list(range(len(labels)))
    for split in splits:
        assert sorted(np.concatenate(list(split.values())).tolist()) == list(range(len(labels)))
        for items in split.values():
            assert set(labels[items].tolist()) == set(range(len(counts)))
    for label, total in enumerate(counts):
        sizes = [int((labels[split["test"]] == label).sum()) for split in splits]
        assert max(sizes) - min(sizes) <= 1
        assert sum(sizes) == total


def test_contiguous_folds_are_blocks_with_validation_right_behind() -> None:
    split = run(labelled(20, 20, seed=None), spec("contiguous-k-fold", folds=5, fold=1, validation=0.1))
    assert split["test"].tolist() == [4, 5, 6, 7, 24, 25, 26, 27]
    assert split["validation"].tolist() == [8, 9, 28, 29]
    last = run(labelled(20, 20, seed=None), spec("contiguous-k-fold", folds=5, fold=4, validation=0.1))
    assert last["validation"].tolist() == [0, 1, 20, 21]


def test_random_folds_are_neither_blocks_nor_the_same_for_another_seed() -> None:
    labels = labelled(40, 40, seed=None)
    one, other = (run(labels, spec("k-fold", folds=4, seed=seed))["test"] for seed in (0, 1))
    assert one.tolist() != other.tolist()
    assert (np.diff(one) > 1).any()


def test_fewer_images_of_a_class_than_folds_are_an_error_that_names_the_class() -> None:
    with pytest.raises(InvalidInputError, match="class 'c1' has 4 images, fewer than 5 folds"):
        run(labelled(30, 4), spec("k-fold", folds=5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "k-fold", "folds": 4, "fold": 4}, "expected 0 to 3"),
        ({"policy": "stratified", "fold": 1}, "go with policy k-fold"),
        ({"policy": "k-fold", "folds": 2, "validation": 0.5}, "nothing to train on"),
        ({"policy": "k-fold", "folds": 1}, "greater than or equal to 2"),
    ],
)
def test_folds_that_make_no_sense_are_refused_with_what_is_allowed(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SplitSpec(**options)
