from statistics import median

import pytest

from core.comparison import COMPARED, REPEATED, compare, newcombe
from core.schemas.loads import Run, Saturation
from core.schemas.summary import LOAD_TEST, Summary
from evaluator.summary import summarise
from tests.unit.evaluator.builder import Experiment, digest


@pytest.fixture(scope="module")
def summary() -> Summary:
    one = Experiment(seeds=(0,), arms=("matched",), frameworks=("keras", "pytorch"), rates=(5.0, 10.0))
    return summarise(one.spec, one.results, one.probabilities, one.labels)


def with_accuracy(summary: Summary, accuracy: float, interval: tuple[float, float]) -> Summary:
    first = summary.rows[0].model_copy(update={"accuracy": accuracy, "accuracy_interval": interval})
    return summary.model_copy(update={"rows": (first, *summary.rows[1:])})


def test_newcombes_interval_agrees_with_the_published_example() -> None:
    # Newcombe 1998, Table II: 56/70 against 48/80, method 10: difference 0.2, interval 0.0524 to 0.3339.
    wilson = {56 / 70: (0.6918, 0.8768), 48 / 80: (0.4904, 0.7004)}
    low, high = newcombe(48 / 80, wilson[48 / 80], 56 / 70, wilson[56 / 70])
    assert (low, high) == (pytest.approx(0.0524, abs=2e-3), pytest.approx(0.3339, abs=2e-3))


def test_a_report_compared_with_itself_shows_no_change(summary: Summary) -> None:
    found = compare(summary, summary)
    assert {one.change for one in found.differences} == {0}
    assert {one.finding for one in found.differences} == {"equal"}
    assert {one.metric for one in found.differences} == set(COMPARED)
    assert len(found.notes) == 1
    assert "Nothing is corrected for the number of rows" in found.notes[0]


def test_accuracies_whose_difference_excludes_zero_exceed_noise(summary: Summary) -> None:
    found = compare(with_accuracy(summary, 0.9, (0.86, 0.93)), with_accuracy(summary, 0.99, (0.97, 0.996)))
    first = found.differences[0]
    assert (first.metric, first.finding) == ("accuracy", "exceeds noise")
    assert first.change == pytest.approx(0.09)
    assert first.interval is not None
    assert first.interval[0] > 0


def test_times_of_one_run_each_are_not_called_noise_or_signal(summary: Summary) -> None:
    row = summary.rows[0]
    assert row.load is not None
    slower = row.load.runs[0].model_copy(update={"p99": row.load.runs[0].p99 * 1.01})
    changes = {
        "load": row.load.model_copy(update={"runs": (slower,)}),
        "size_bytes": row.size_bytes + 1,
        "accuracy": (row.accuracy or 0) - 1e-6,
    }
    other = summary.model_copy(update={"rows": (row.model_copy(update=changes),)})
    findings = {one.metric: one.finding for one in compare(summary, other).differences}
    assert findings["p99_ms"] == "noise not known"
    assert findings["size_bytes"] == "exact"
    assert findings["accuracy"] == "within noise"
    assert findings["log_loss"] == "equal"


def test_rows_only_one_report_has_are_named(summary: Summary) -> None:
    fewer = summary.model_copy(update={"rows": summary.rows[1:]})
    assert compare(summary, fewer).only_first == (summary.rows[0].label,)
    assert compare(fewer, summary).only_second == (summary.rows[0].label,)


def test_other_data_other_machines_and_missing_parts_are_noted(summary: Summary) -> None:
    assert summary.data is not None
    elsewhere = tuple(
        place.model_copy(update={"environment": place.environment.model_copy(update={"cpu_model": "Another CPU"})})
        for place in summary.places
    )
    other = summary.model_copy(
        update={
            "data": summary.data.model_copy(update={"fingerprint": digest("other")}),
            "places": elsewhere,
            "missing": ("train keras: lost",),
        }
    )
    notes = " ".join(compare(summary, other).notes)
    for words in ("different prepared data", "different machines", "The second report is incomplete"):
        assert words in notes
    times = {one.metric: (one.finding, one.reason) for one in compare(summary, other).differences}
    assert times["training_s"] == ("not comparable", "trained on different machines or quotas")
    assert {times[metric] for metric in REPEATED if metric in times} == {
        ("not comparable", "load-tested on different machines or quotas")
    }
    assert times["size_bytes"] == ("equal", "")


def test_times_of_torch_with_other_settings_of_malloc_are_not_compared(summary: Summary) -> None:
    kept = tuple(
        place.model_copy(
            update={"environment": place.environment.model_copy(update={"variables": {"MALLOC_MMAP_MAX_": "0"}})}
        )
        for place in summary.places
    )
    other = summary.model_copy(update={"places": kept})
    told = {(one.artefact, one.reason) for one in compare(summary, other).differences if one.metric == "training_s"}
    torch = {label for label, reason in told if reason == "trained with other settings of malloc"}
    assert torch == {label for label, _ in told if "pytorch" in label.casefold() or "fastai" in label}
    assert torch < {label for label, _ in told}


def test_a_machine_that_only_trained_keeps_no_load_tests_from_being_compared(summary: Summary) -> None:
    places = tuple(
        place
        if LOAD_TEST in place.roles
        else place.model_copy(
            update={"environment": place.environment.model_copy(update={"cpu_model": "Another CPU"})},
        )
        for place in summary.places
    )
    assert 0 < sum(LOAD_TEST in place.roles for place in places) < len(places)
    other = summary.model_copy(update={"places": places})
    findings = {one.metric: one.finding for one in compare(summary, other).differences}
    assert findings["training_s"] == "not comparable"
    assert {findings[metric] for metric in REPEATED if metric in findings} == {"equal"}


def measured(summary: Summary, p99: tuple[float, ...], **changes: object) -> Summary:
    """The summary with one row, whose load test had these p99 in its repeats."""
    row = summary.rows[0]
    assert row.load is not None
    runs = tuple(
        Run(run_id=f"r{i}", requests=9, throughput=1000 / v, p50=1, p90=1, p99=v, cpu_ms=v / 2)
        for i, v in enumerate(p99)
    )
    values = {
        "runs": runs,
        "latency_ms": row.load.latency_ms.model_copy(update={"p99": median(p99)}),
        "throughput": 1000 / median(p99),
        "cpu_ms": median(p99) / 2,
    }
    load = row.load.model_copy(update=values | changes)
    return summary.model_copy(update={"rows": (row.model_copy(update={"load": load}),)})


def findings(first: Summary, second: Summary) -> set[tuple[str, str]]:
    """Finding and reason of the figures that repeats have."""
    return {(d.finding, d.reason) for d in compare(first, second).differences if d.metric in REPEATED}


def test_repeats_whose_ranges_lie_apart_exceed_noise_in_either_direction(summary: Summary) -> None:
    slow, fast = measured(summary, (3.0, 3.2, 3.1)), measured(summary, (2.0, 2.9, 2.1, 2.2))
    assert findings(slow, fast) == {("exceeds noise", "ranges of 3 and 4 repeats that count apart")}
    assert findings(fast, slow) == {("exceeds noise", "ranges of 4 and 3 repeats that count apart")}


def test_repeats_whose_ranges_overlap_are_within_noise(summary: Summary) -> None:
    slow, fast = measured(summary, (3.0, 3.2, 3.1)), measured(summary, (2.0, 3.0, 2.1))
    assert findings(slow, fast) == {("within noise", "ranges of 3 and 3 repeats that count overlap")}


def test_fewer_than_three_repeats_that_count_leave_the_noise_unknown(summary: Summary) -> None:
    spoiled = measured(summary, (3.0, 3.2, 3.1))
    load = spoiled.rows[0].load
    assert load is not None
    first, *rest = load.runs
    runs = (first.model_copy(update={"contended": True}), *rest)
    two = measured(summary, (3.0, 3.2, 3.1), runs=runs)
    reason = "2 and 3 repeats that count; it takes 3 on either side"
    assert findings(two, measured(summary, (1.0, 1.1, 1.2))) == {("noise not known", reason)}


@pytest.mark.parametrize(
    ("changes", "other"),
    [
        ({"users": 1}, "closed, 1 user, batches of 1"),
        ({"batch_size": 8}, "closed, 8 users, batches of 8"),
        ({"generator": "locust"}, "Locust, closed, 8 users, batches of 1"),
        ({"scenario": "server", "rate": 50.0}, "server at 50/s, batches of 1"),
    ],
)
@pytest.mark.parametrize("p99", [(1.0, 1.1, 1.2), (3.0, 3.1, 3.2)])
def test_load_tests_with_other_settings_are_not_comparable_however_equal_their_figures(
    summary: Summary, changes: dict[str, object], other: str, p99: tuple[float, ...]
) -> None:
    one, two = measured(summary, (1.0, 1.1, 1.2)), measured(summary, p99, **changes)
    assert findings(one, two) == {("not comparable", f"closed, 8 users, batches of 1 against {other}")}


def test_best_rates_within_other_bounds_are_not_comparable(summary: Summary) -> None:
    row = summary.rows[0]

    def searched(bound_ms: float) -> Summary:
        curve = Saturation(model=row.model, version=row.version, runtime=row.runtime, bound_ms=bound_ms, points=())
        rows = (row.model_copy(update={"best_rate": 100.0}),)
        return summary.model_copy(update={"rows": rows, "saturation": (curve,)})

    def finding(first: Summary, second: Summary) -> tuple[str, str]:
        (found,) = (one for one in compare(first, second).differences if one.metric == "best_rate")
        return found.finding, found.reason

    assert finding(searched(10), searched(10)) == ("equal", "")
    assert finding(searched(10), searched(20)) == ("not comparable", "within 10 ms against within 20 ms")
