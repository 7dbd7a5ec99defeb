"""Tables over seeds on synthetic results: TEST DATA, no figure here was measured."""

import importlib

import pytest

from core.schemas.statistics import FrameworkTest, SeedTest
from core.schemas.summary import Summary
from evaluator.report.seed_tables import BARE_LINES, finding, framework_tests, time_note, time_shares
from evaluator.summary import summarise
from tests.unit.evaluator.builder import Experiment

SYNTHETIC = Experiment(load_tests=False)
SUMMARY = summarise(SYNTHETIC.spec, SYNTHETIC.results, SYNTHETIC.probabilities, SYNTHETIC.labels)


def test_every_pair_of_frameworks_of_every_arm_is_compared_over_seeds() -> None:
    table = framework_tests(SUMMARY)
    assert len(table.rows) == 2 * 6
    assert {row[4] for row in table.rows} == {"3"}


def test_shares_of_wall_time_add_up_to_the_whole() -> None:
    table = time_shares(SUMMARY)
    assert len(table.rows) == 2 * 4
    shares = [[float(cell.rstrip("%")) for cell in row if cell.endswith("%")] for row in table.rows]
    assert all(sum(row) == pytest.approx(100, abs=0.3) for row in shares)


def waiting(*seconds: float | None) -> Summary:
    """One training of 10 s in two epochs that waited for data like that."""
    first = SUMMARY.trainings[0]
    history = tuple(
        epoch.model_copy(update={"data_seconds": one}) for epoch, one in zip(first.history, seconds, strict=False)
    )
    waited = sum(one or 0.0 for one in seconds)
    phases = {"data": 1.0 + waited, "train": 9.0 - waited}
    return SUMMARY.model_copy(update={"trainings": (first.model_copy(update={"history": history, "seconds": phases}),)})


def test_opening_the_data_and_waiting_for_it_are_apart() -> None:
    table = time_shares(waiting(0.5, 1.5))
    assert table.headers[3:6] == ("Open", "Wait", "Train")
    assert table.rows[0][3:6] == ("10.0%", "20.0%", "70.0%")


@pytest.mark.parametrize("seconds", [(None, None), (0.0, None)])
def test_waiting_that_was_not_measured_is_a_dash_and_no_zero(seconds: tuple[float | None, ...]) -> None:
    assert time_shares(waiting(*seconds)).rows[0][3:6] == ("10.0%", "–", "90.0%")
    assert time_shares(waiting(0.0, 0.0)).rows[0][3:6] == ("10.0%", "0.0%", "90.0%")


@pytest.mark.parametrize(("seconds", "shown"), [(0.01, False), (2.0, True)], ids=["a fork", "a new interpreter"])
def test_importing_the_framework_is_shown_where_a_training_did_it(seconds: float, shown: bool) -> None:
    times = {"start": seconds, "train": 100.0}
    trainings = tuple(one.model_copy(update={"seconds": times}) for one in SUMMARY.trainings)
    summary = SUMMARY.model_copy(update={"trainings": trainings})
    assert ("Start" in time_shares(summary).headers) == shown
    assert ("Start is importing the framework" in time_note(summary)) == shown
    assert ("no training paid for that" in time_note(summary)) != shown


def test_preparation_is_said_to_be_in_nobodys_share() -> None:
    assert "Preparing the images once for all trainings (1.20 s) is in nobody's share" in time_note(SUMMARY)
    assert SUMMARY.data is not None
    older = SUMMARY.model_copy(update={"data": SUMMARY.data.model_copy(update={"seconds": None})})
    assert "Preparing the images once for all trainings is in nobody's share" in time_note(older)


@pytest.mark.parametrize(
    ("mean", "p_adjusted", "expected"),
    [(0.01, 0.2, "no difference shown"), (0.01, 0.01, "Keras is more"), (-0.01, 0.01, "PyTorch is more"),
     (0.01, None, "the same difference in every seed: cannot be tested")],
)  # fmt: skip
def test_a_finding_says_no_more_than_the_corrected_test(mean: float, p_adjusted: float | None, expected: str) -> None:
    test = SeedTest(seeds=3, mean=mean, interval=(0, 1), p_value=p_adjusted, p_adjusted=p_adjusted)
    assert finding(FrameworkTest(arm="a", first="keras", second="pytorch", test=test)).startswith(expected)


@pytest.mark.parametrize(("seeds", "expected"), [(1, "one seed: nothing can be said"), (2, "two seeds cannot tell")])
def test_fewer_than_three_seeds_give_no_finding_even_with_a_p_value_of_an_earlier_version(
    seeds: int, expected: str
) -> None:
    test = SeedTest(seeds=seeds, mean=0.01, interval=None, p_value=0.0, p_adjusted=0.0)
    assert finding(FrameworkTest(arm="a", first="keras", second="pytorch", test=test)) == expected


def test_the_lines_of_the_bare_loops_are_those_of_the_scripts_that_the_benchmark_runs() -> None:
    bench = importlib.import_module("tools.bench_training.__main__")
    assert bench.lines_of_code()[2:] == [f"| {name} | {lines} |" for name, lines in BARE_LINES.items()]


def test_peak_memory_says_what_it_leaves_out_where_a_row_of_fastais_own_loader_does() -> None:
    told = "the processes take in which fastai's idiomatic loader decodes is not in it"
    assert told in time_note(SUMMARY)
    for framework, arm in (("fastai", "matched"), ("keras", "idiomatic")):
        own = tuple(t for t in SUMMARY.trainings if (t.framework, t.arm) == (framework, arm))
        assert own
        assert told not in time_note(SUMMARY.model_copy(update={"trainings": own}))
