"""Splits are disjoint, complete, by class, rounded as documented, and the same every time."""

from math import floor
from typing import Any

import numpy as np
import pydantic
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.errors import InvalidInputError
from core.schemas.data import SplitSpec
from trainer.preparation.splits import Indices, divide, thin

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


def test_the_sources_own_validation_split_may_join_train_before_another_is_carved() -> None:
    labels = np.repeat([0, 1], [40, 60])
    test, few = np.arange(30, 40), np.array([0, 1, 50, 51])
    train = np.setdiff1d(np.arange(100), np.concatenate([test, few]))
    splits = run(labels, spec("given", validation=0.1, own_validation="join"), train=train, test=test, validation=few)
    assert np.bincount(labels[splits["validation"]]).tolist() == [3, 6]
    np.testing.assert_array_equal(np.sort(np.concatenate([splits["train"], splits["validation"]])),
                                  np.setdiff1d(np.arange(100), test))  # fmt: skip
    with pytest.raises(pydantic.ValidationError, match="own_validation join goes with policy given"):
        spec("stratified", own_validation="join")


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


@pytest.mark.parametrize("policy", ["given", "stratified", "contiguous"])
def test_a_whole_number_is_so_many_validation_images_of_every_class(policy: str) -> None:
    labels = labelled(50, 100)
    splits = run(labels, spec(policy, validation=8, test=0.2))
    counts = {name: np.bincount(labels[items]).tolist() for name, items in splits.items()}
    assert counts == {"train": [32, 72], "validation": [8, 8], "test": [10, 20]}
    assert sorted(np.concatenate(list(splits.values())).tolist()) == list(range(150))


def test_a_number_of_validation_images_is_carved_beside_the_sources_own_test_split() -> None:
    labels = labelled(50, 100, seed=None)
    test = np.concatenate([np.arange(40, 50), np.arange(130, 150)])
    splits = run(labels, spec("given", validation=8), train=np.setdiff1d(np.arange(150), test), test=test)
    assert np.bincount(labels[splits["validation"]]).tolist() == [8, 8]
    assert np.bincount(labels[splits["train"]]).tolist() == [32, 72]


def test_a_sources_own_validation_split_is_kept_whatever_number_is_asked_for() -> None:
    labels = np.array([0, 1] * 6)
    own = {"train": np.arange(4), "validation": np.arange(4, 8), "test": np.arange(8, 12)}
    assert run(labels, spec("given", validation=1), **own)["validation"].tolist() == [4, 5, 6, 7]


@pytest.mark.parametrize("policy", ["given", "stratified", "contiguous"])
def test_a_number_of_validation_images_that_leaves_none_to_train_on_is_refused_by_class(policy: str) -> None:
    labels = labelled(40, 10)
    assert np.bincount(labels[run(labels, spec(policy, validation=7))["train"]])[1] == 1
    for number in (8, 30):
        expected = f"class 'c1' has 8 images beside the test split, of which {number} for validation would leave none"
        with pytest.raises(InvalidInputError, match=expected):
            run(labels, spec(policy, validation=number))


def test_other_policies_pool_the_sources_own_splits() -> None:
    labels = labelled(20, 20)
    own = {"train": np.arange(4), "test": np.arange(4, 40)}
    pooled = run(labels, spec("stratified"), **own)
    assert pooled["train"].tolist() == run(labels, spec("stratified"))["train"].tolist()


def own_splits(labels: Indices, split: str, keep: Indices) -> dict[str, Indices]:
    """Twelve items in three splits, one of which keeps some alone."""
    own = {"train": np.arange(4), "validation": np.arange(4, 8), "test": np.arange(8, 12)}
    return own | {split: np.intersect1d(own[split], keep)}


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_class_missing_from_validation_or_test_leaves_the_splits_as_they_are(split: str) -> None:
    labels = np.array([0, 1] * 6)
    own = own_splits(labels, split, np.flatnonzero(labels == 0))
    splits = run(labels, spec("given"), **own)
    assert {name: items.tolist() for name, items in splits.items()} == {k: v.tolist() for k, v in own.items()}


def test_a_class_without_a_training_image_is_refused_with_where_it_is() -> None:
    labels = np.array([0, 1] * 6)
    with pytest.raises(InvalidInputError, match=r"class 'c1' has no image in the train split \(2 in validation, 2 in"):
        run(labels, spec("given"), **own_splits(labels, "train", np.flatnonzero(labels == 0)))


@pytest.mark.parametrize(
    ("split", "purpose"), [("validation", "follow the training by"), ("test", "evaluate on"), ("train", "learn from")]
)
def test_a_split_without_any_image_is_refused_with_what_it_is_for(split: str, purpose: str) -> None:
    labels = np.array([0, 1] * 6)
    expected = rf"the {split} split has no images \(.*0 images in {split}.*\), so there would be nothing to {purpose};"
    with pytest.raises(InvalidInputError, match=expected):
        run(labels, spec("given"), **own_splits(labels, split, np.arange(0)))


def test_a_class_without_any_image_is_named() -> None:
    with pytest.raises(InvalidInputError, match=r"class 'unused' has no image in the train split \(none anywhere\)"):
        divide(labelled(9, 9), ("a", "b", "unused"), {}, spec())


@pytest.mark.parametrize("policy", ["stratified", "contiguous", "given"])
@pytest.mark.parametrize(("count", "expected"), [(1, [1, 0, 0]), (2, [1, 0, 1]), (3, [1, 1, 1])])
def test_a_class_too_small_for_three_splits_is_trained_first_and_tested_second(
    policy: str, count: int, expected: list[int]
) -> None:
    labels = labelled(10, count)
    splits = run(labels, spec(policy))
    assert [int((labels[splits[name]] == 1).sum()) for name in NAMES] == expected
    assert sorted(np.concatenate(list(splits.values())).tolist()) == list(range(10 + count))


def test_a_class_of_one_image_is_trained_where_only_validation_is_carved() -> None:
    labels = labelled(10, 2, seed=None)
    splits = run(labels, spec("given"), train=np.array([0, 1, 2, 3, 10]), test=np.array([4, 5, 11]))
    assert [np.bincount(labels[splits[name]], minlength=2).tolist() for name in NAMES] == [[3, 1], [1, 0], [2, 1]]


def test_a_source_without_a_train_split_says_which_it_has() -> None:
    with pytest.raises(InvalidInputError, match="no train split, only test"):
        run(labelled(5, 5), spec("given"), test=np.arange(10))


def test_a_limit_keeps_so_many_of_each_class_in_each_split() -> None:
    labels = np.repeat([0, 1], [50, 6]).astype(np.int64)
    spec = SplitSpec(policy="stratified", validation=0.2, test=0.2)
    splits = divide(labels, ("a", "b"), {}, spec)
    thinned = thin(splits, labels, ("a", "b"), spec, 4)
    assert {name: np.bincount(labels[items]).tolist() for name, items in thinned.items()} == {
        "train": [4, 4],
        "validation": [4, 1],
        "test": [4, 1],
    }
    assert all(set(thinned[name]) <= set(splits[name]) for name in splits)
    assert all(
        np.array_equal(thinned[name], again) for name, again in thin(splits, labels, ("a", "b"), spec, 4).items()
    )


def test_a_limit_keeps_the_first_frames_of_a_contiguous_block() -> None:
    labels = np.zeros(30, np.int64)
    spec = SplitSpec(policy="contiguous", validation=0.2, test=0.2)
    thinned = thin(divide(labels, ("a",), {}, spec), labels, ("a",), spec, 3)
    assert {name: items.tolist() for name, items in thinned.items()} == {
        "train": [0, 1, 2],
        "validation": [18, 19, 20],
        "test": [24, 25, 26],
    }


@pytest.mark.parametrize("policy", ["stratified", "contiguous"])
def test_each_item_beside_the_test_split_is_validated_in_exactly_one_fold(policy: Any) -> None:
    labels = np.repeat([0, 1], [23, 17]).astype(np.int64)
    splits = [
        divide(labels, ("a", "b"), {}, SplitSpec(policy=policy, test=0.2, folds=5, fold=fold)) for fold in range(5)
    ]
    test = splits[0]["test"]
    assert all(np.array_equal(split["test"], test) for split in splits)
    validated = np.concatenate([split["validation"] for split in splits])
    assert sorted(validated) == sorted(set(range(40)) - set(test.tolist()))
    for split in splits:
        assert sorted([*split["train"], *split["validation"]]) == sorted(validated)
        assert min(np.bincount(labels[split["validation"]])) >= 2


@pytest.mark.parametrize("policy", ["stratified", "contiguous"])
def test_folds_under_a_limit_are_a_partition_of_what_it_leaves(policy: Any) -> None:
    labels = np.repeat([0, 1], [60, 30]).astype(np.int64)
    unfolded = divide(labels, ("a", "b"), {}, SplitSpec(policy=policy), limit=4)
    splits = [divide(labels, ("a", "b"), {}, SplitSpec(policy=policy, folds=5, fold=n), limit=4) for n in range(5)]
    validated = sorted(item for split in splits for item in split["validation"].tolist())
    assert validated == sorted([*unfolded["train"].tolist(), *unfolded["validation"].tolist()])
    for split in splits:
        assert split["test"].tolist() == unfolded["test"].tolist()
        assert sorted([*split["train"].tolist(), *split["validation"].tolist()]) == validated


def test_a_limit_that_leaves_fewer_images_than_folds_is_refused() -> None:
    labels = np.repeat([0, 1], [60, 60]).astype(np.int64)
    spec = SplitSpec(policy="stratified", folds=5)
    divide(labels, ("a", "b"), {}, spec, limit=3)
    with pytest.raises(InvalidInputError, match=r"'a' has 4 images .* fewer than 5 folds; .*raise data\.limit"):
        divide(labels, ("a", "b"), {}, spec, limit=2)


def test_folds_keep_the_test_split_a_source_gives() -> None:
    labels = np.zeros(12, np.int64)
    own = {"train": np.arange(9), "test": np.arange(9, 12)}
    split = divide(labels, ("a",), own, SplitSpec(folds=3, fold=2))
    assert split["test"].tolist() == [9, 10, 11]
    assert len(split["validation"]) == 3


def test_fewer_images_than_folds_are_refused_by_class() -> None:
    labels = np.repeat([0, 1], [40, 6]).astype(np.int64)
    with pytest.raises(InvalidInputError, match="class 'b' has 5 images beside the test split, fewer than 10 folds"):
        divide(labels, ("a", "b"), {}, SplitSpec(policy="stratified", folds=10))


def test_a_fold_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="fold 5 is not among 5 folds"):
        SplitSpec(folds=5, fold=5)
