"""A random split beside contiguous blocks, on synthetic summaries: TEST DATA, no figure here was measured."""

from core.schemas.summary import SeedAccuracy, Summary
from evaluator import statistics
from evaluator.studies import splits
from evaluator.studies.page import page
from evaluator.summary import summarise
from tests.unit.evaluator.builder import Experiment

SYNTHETIC = Experiment(frameworks=("keras", "pytorch"), load_tests=False)
BASE = summarise(SYNTHETIC.spec, SYNTHETIC.results, SYNTHETIC.probabilities, SYNTHETIC.labels)


def summary(*accuracies: float) -> Summary:
    """Every group with these accuracies over seeds."""
    seeds = tuple(SeedAccuracy(seed=n, accuracy=a, interval=(a, a)) for n, a in enumerate(accuracies))
    changed = {"seeds": seeds, "accuracy": statistics.spread(accuracies)}
    return BASE.model_copy(update={"groups": tuple(group.model_copy(update=changed) for group in BASE.groups)})


def test_the_difference_of_the_means_is_what_the_random_split_adds() -> None:
    found = {splits.RANDOM: summary(0.97, 0.98, 0.99), splits.CONTIGUOUS: summary(0.60, 0.62, 0.64)}
    table = splits.table(found)
    assert table is not None
    assert len(table.rows) == len(BASE.groups)
    assert {row[2] for row in table.rows} == {"3"}
    assert {row[-1] for row in table.rows} == {"+36.00 points"}
    assert table.rows[0][3].startswith("98.00% (95.")
    assert "+36.00 points" in page([], found)


def test_one_split_alone_says_nothing() -> None:
    assert splits.table({splits.RANDOM: summary(0.9, 0.9)}) is None
    assert "flatters" not in page([], {splits.RANDOM: summary(0.9, 0.9)})


def test_what_only_one_of_them_trained_is_left_out() -> None:
    less = summary(0.6, 0.6)
    less = less.model_copy(update={"groups": less.groups[:1]})
    table = splits.table({splits.RANDOM: summary(0.9, 0.9), splits.CONTIGUOUS: less})
    assert table is not None
    assert len(table.rows) == 1
