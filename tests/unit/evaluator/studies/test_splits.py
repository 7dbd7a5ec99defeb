"""A random split beside contiguous blocks on the page, on synthetic summaries: TEST DATA."""

from evaluator.studies.page import page
from tests.unit.evaluator.test_splits import OTHER, both

SPEC = (
    '{"name": "test-digits", "title": "Digits", "data": {"source": {"kind": "digits"}, "image": {"height": 8, '
    '"width": 8, "color": "grey"}}, "arms": {"matched": {"architecture": "digits-cnn", "recipe": {"epochs": 8}}}}'
)


def test_every_result_on_two_splits_is_told_under_one_heading() -> None:
    two = both(OTHER.results).model_copy(update={"spec_json": SPEC})
    told = page([], [two, two.model_copy(update={"title": "Once more"})])
    assert told.count("## How far a random split flatters") == 1
    assert told.count("**The same arms on another split.** The same arms were trained") == 2
    assert "### Digits (synthetic test data)" in told
    assert "### Once more" in told


def test_one_split_alone_says_nothing() -> None:
    assert "flatters" not in page([], [])


def test_too_few_seeds_for_a_difference_of_splits_are_said_first() -> None:
    two = both(OTHER.results).model_copy(update={"spec_json": SPEC})
    assert two.other_split
    (row, *_) = two.other_split.rows
    for seeds, said in ((1, True), (3, False)):
        one = row.model_copy(update={"difference": row.difference.model_copy(update={"seeds": seeds})})
        split = two.other_split.model_copy(update={"rows": (one,)})
        told = page([], [two.model_copy(update={"other_split": split})])
        assert ("**Not tested at this scale: 1 of the 3 seeds a verdict needs.**" in told) == said
