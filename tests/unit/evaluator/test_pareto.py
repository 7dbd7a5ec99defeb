from evaluator.pareto import candidates, dominator
from tests.unit.evaluator.test_verdict import load, row


def test_an_artefact_that_wins_in_one_figure_is_on_the_front() -> None:
    rows = [
        row(0.99, load=load(9, 1), size_bytes=900),
        row(0.90, load=load(1, 1), size_bytes=900),
        row(0.95, load=load(5, 1), size_bytes=100),
    ]
    assert [dominator(rows, index, [0, 1, 2]) for index in range(3)] == [None, None, None]


def test_an_artefact_no_better_anywhere_and_worse_somewhere_is_beaten() -> None:
    rows = [row(0.99, load=load(2, 1)), row(0.99, load=load(3, 1)), row(0.98, load=load(2, 1), size_bytes=2_000)]
    assert [dominator(rows, index, [0, 1, 2]) for index in range(3)] == [None, 0, 0]


def test_an_artefact_with_too_few_queries_for_p99_takes_no_part() -> None:
    rows = [row(0.99, load=load(1, 1, requests=458)), row(0.99, load=load(3, 1, requests=459))]
    assert candidates(rows) == [1]


def test_the_median_of_the_repeats_is_compared() -> None:
    slow_once = load(50, 1, runs=[run(2), run(2.5), run(90)])
    rows = [row(0.99, load=slow_once), row(0.99, load=load(3, 1))]
    assert dominator(rows, 1, [0, 1]) == 0


def run(p99: float) -> dict[str, object]:
    return {"run_id": "r", "requests": 1000, "throughput": 1, "p50": 1, "p90": 1, "p99": p99}


def test_equal_artefacts_do_not_beat_each_other() -> None:
    rows = [row(0.99, load=load(2, 1)), row(0.99, load=load(2, 1))]
    assert [dominator(rows, index, [0, 1]) for index in range(2)] == [None, None]


def test_only_scored_artefacts_with_a_load_test_that_counts_take_part() -> None:
    rows = [row(None, load=load(1, 1)), row(0.9), row(0.9, load=load(1, 1, contended=True)), row(0.9, load=load(1, 1))]
    assert candidates(rows) == [3]
