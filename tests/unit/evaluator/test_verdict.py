from typing import Any

from core.measures import MEASURES
from core.schemas.loads import Load
from core.schemas.metrics import Parity
from core.schemas.results import LatencySummary
from core.schemas.scores import PairedTest
from core.schemas.summary import Row
from evaluator.report.columns import COLUMNS
from evaluator.report.csvfile import FIELDS
from evaluator.verdict import decide


def load(p99: float, throughput: float, **changes: Any) -> Load:
    values = {
        "run_id": "load", "model": "m", "version": 1, "runtime": "onnxruntime", "loop": "closed", "users": 8,
        "batch_size": 1, "requests": 1000, "seconds": 5.0, "throughput": throughput, "server_ms": {}, "mean_batch": 1.0,
        "latency_ms": LatencySummary(mean=1, p50=1, p90=1, p95=1, p99=p99, p999=p99, max=p99), "errors": {},
        "contended": False,
    }  # fmt: skip
    return Load.model_validate(values | changes)


def row(accuracy: float | None, half: float = 0.01, **changes: Any) -> Row:
    values = {
        "arm": "matched", "mode": "matched", "framework": "keras", "format": "onnx", "runtime": "onnxruntime",
        "seed": 0, "model": "m", "version": 1, "artifact": "0" * 64, "size_bytes": 1000, "images": 100,
        "export_parity": Parity(largest_difference=0, mean_difference=0, disagreements=0, images=100),
        "accuracy": accuracy,
        "training_seconds": 1.0, "images_per_second": 100.0, "training_contended": False, "log_loss": 0.1,
        "accuracy_interval": None if accuracy is None else (accuracy - half, accuracy + half),
    }  # fmt: skip
    return Row.model_validate(values | changes)


def test_nothing_scored_gives_no_recommendation() -> None:
    assert decide([]).row is None
    assert decide([row(None, load=load(1, 1))]).picks == ()


def test_a_single_candidate_is_called_that() -> None:
    verdict = decide([row(0.9)])
    assert verdict.headline.startswith("Only candidate: Keras, ONNX on ONNX Runtime")
    assert [pick.kind for pick in verdict.picks] == ["accuracy", "size"]


def repeats(*p99: float, **changes: Any) -> Load:
    runs = [
        {"run_id": f"r{i}", "requests": 1000, "throughput": 9, "p50": 1, "p90": 1, "p99": v} for i, v in enumerate(p99)
    ]
    return load(sorted(p99)[len(p99) // 2], 100, runs=runs, **changes)


def test_artefacts_whose_repeats_overlap_are_not_ranked_by_p99() -> None:
    rows = [
        row(0.98, load=repeats(2.0, 2.1, 2.9), size_bytes=9_000),
        row(0.98, load=repeats(2.2, 2.3, 2.4), size_bytes=5_000, framework="pytorch"),
        row(0.98, load=repeats(4.0, 4.1, 5.0), size_bytes=1_000, framework="fastai"),
    ]
    verdict = decide(rows)
    assert verdict.row == 1
    assert verdict.headline.endswith(", the smallest of 2 whose p99 is not separable")
    assert "2 of the 3 measured among them are not separable by p99 (ONNX of Keras and PyTorch)" in verdict.reason
    assert "the ranges over 3 interleaved repeats overlap" in verdict.method
    p99 = next(pick for pick in verdict.picks if pick.kind == "p99")
    assert (p99.row, p99.value) == (0, "2.10 ms")
    assert "best measured. 2.00 ms to 2.90 ms over 3 repeats. Not separable from 1 other." in p99.detail


def test_an_artefact_faster_in_every_repeat_is_the_fastest() -> None:
    verdict = decide([row(0.98, load=repeats(2.0, 2.1, 2.2)), row(0.98, load=repeats(2.3, 2.4, 9.0), size_bytes=1)])
    assert verdict.row == 0
    assert (
        "its p99 of 2.10 ms (2.00 ms to 2.20 ms over 3 repeats) is the lowest of 2 measured among them, below every "
        "repeat of the others." in verdict.reason
    )


def test_below_every_repeat_is_said_only_where_it_is_so() -> None:
    verdict = decide([row(0.98, load=repeats(2.0, 2.1, 9.0)), row(0.98, load=load(5, 100), size_bytes=1)])
    assert verdict.row == 0
    assert "is the lowest of 2 measured among them. Its" in verdict.reason
    alone = decide([row(0.98, load=repeats(2.0, 2.1, 2.2)), row(0.98)])
    assert "is the only one measured among them. Its" in alone.reason


def test_repeats_that_were_contended_or_invalid_do_not_count_towards_the_spread() -> None:
    good = {"run_id": "r", "requests": 1000, "throughput": 9, "p50": 1, "p90": 1, "p99": 2.0}
    runs = [good, {**good, "contended": True, "p99": 50.0}, {**good, "problems": ["late"], "p99": 60.0}]
    assert load(2, 1, runs=runs).p99_runs == (2.0,)


def test_single_runs_within_a_factor_of_two_are_not_separable() -> None:
    rows = [row(0.98, load=load(2, 100), size_bytes=5_000), row(0.98, load=load(3.9, 80), size_bytes=1_000)]
    verdict = decide(rows)
    assert verdict.row == 1
    assert "within a factor of 2, a margin chosen and not measured" in verdict.method


def test_load_tests_with_problems_are_not_compared() -> None:
    rows = [row(0.98, load=load(1, 100, problems=["late"])), row(0.98, load=load(9, 10))]
    assert {pick.row for pick in decide(rows).picks if pick.kind == "p99"} == {1}


def test_among_equal_accuracies_the_lowest_p99_is_recommended() -> None:
    rows = [row(0.98, load=load(5, 100)), row(0.975, load=load(2, 80)), row(0.90, load=load(1, 300))]
    verdict = decide(rows)
    assert verdict.row == 1
    assert "2 of 3 artefacts cannot be told from the best by accuracy" in verdict.reason
    assert "measured 97.50%, the best 98.00%" in verdict.reason


def test_overlapping_intervals_are_called_no_difference_shown() -> None:
    accuracy = decide([row(0.98), row(0.975)]).picks[0]
    assert accuracy.row == 0
    assert "No difference shown from the other" in accuracy.detail


def test_an_accuracy_whose_interval_stands_apart_wins_whatever_it_costs() -> None:
    verdict = decide([row(0.98, load=load(9, 1)), row(0.80, load=load(1, 100))])
    assert verdict.row == 0
    assert "intervals apart" in verdict.reason
    tested = PairedTest(only_first=9, only_second=0, p_value=0.001, p_adjusted=0.002)
    mixed = [row(0.98), row(0.97, against_best=tested), row(0.80)]
    assert decide(mixed).reason.endswith("is above any of the 2 others, p ≤ 0.002, or intervals apart.")


def test_a_fast_but_worse_artefact_names_its_trade_off() -> None:
    verdict = decide([row(0.98, load=load(9, 1)), row(0.80, load=load(1, 100), framework="pytorch")])
    p99 = next(pick for pick in verdict.picks if pick.kind == "p99")
    assert (p99.row, p99.value) == (1, "1.00 ms")
    assert p99.detail == "Trade-off: accuracy 80.00%, 18.00 points below the best. Next: Keras ONNX (matched), 9.00 ms."


def test_highest_throughput_and_smallest_size_are_picked_on_their_own() -> None:
    rows = [row(0.98, load=load(1, 10), size_bytes=5000), row(0.98, load=load(2, 99), size_bytes=6000)]
    picks = {pick.kind: pick for pick in decide(rows).picks}
    assert (picks["throughput"].row, picks["throughput"].value) == (1, "99.0 img/s")
    assert (picks["size"].row, picks["size"].value) == (0, "4.88 KiB")


def repeated(*throughputs: float, **changes: Any) -> Load:
    runs = [
        {"run_id": f"r{i}", "requests": 1000, "throughput": v, "p50": 1, "p90": 1, "p99": 2}
        for i, v in enumerate(throughputs)
    ]
    return load(2, sum(throughputs) / len(throughputs), runs=runs, **changes)


def test_the_range_of_throughput_is_printed_from_its_lower_end_and_the_median_once() -> None:
    rows = [row(0.98, load=repeated(263, 521, 431, 500)), row(0.98, load=repeated(99, 98, 97, 96))]
    throughput = next(pick for pick in decide(rows).picks if pick.kind == "throughput")
    assert throughput.value == "466 img/s"
    assert "263 img/s to 521 img/s over 4 repeats. Next: Keras ONNX (matched), 97.5 img/s." in throughput.detail
    assert "466" not in throughput.detail


def test_the_figures_of_the_verdict_are_those_of_table_gate_csv_and_charts() -> None:
    """Pooled p99 and mean throughput would be others: the median of the repeats is the one definition."""
    runs = [
        {"run_id": f"r{i}", "requests": 1000, "throughput": throughput, "p50": p50, "p90": 1, "p99": p99, "cpu_ms": cpu}
        for i, (throughput, p50, p99, cpu) in enumerate([(90, 1, 2, 0.1), (80, 1.5, 3, 0.2), (10, 4, 90, 9)])
    ]
    one = row(0.98, load=load(70, 60, runs=runs, cpu_ms=5.0))
    picks = {pick.kind: pick.value for pick in decide([one]).picks}
    assert (picks["p99"], picks["throughput"], picks["cpu"]) == ("3.00 ms", "80.0 img/s", "0.200 ms/img")
    shown = {column.title: column.value(one) for column in COLUMNS}
    assert [shown[title] for title in ("p50", "p99", "Throughput", "CPU")] == [1.5, 3, 80, 0.2]
    assert [MEASURES[name].get(one) for name in ("p50_ms", "p99_ms", "throughput", "cpu_ms")] == [1.5, 3, 80, 0.2]
    fields = ("p50_ms", "p99_ms", "throughput_images_per_s", "cpu_ms_per_image")
    assert [FIELDS[name](one) for name in fields] == [1.5, 3, 80, 0.2]


def test_equal_sizes_are_counted_instead_of_ranked() -> None:
    size = decide([row(0.98), row(0.98), row(0.98)]).picks[-1]
    assert size.detail.endswith("2 others the same.")


def test_contended_and_failing_load_tests_do_not_win() -> None:
    rows = [
        row(0.98, load=load(1, 900, contended=True)),
        row(0.98, load=load(2, 800, errors={"UNAVAILABLE": 50})),
        row(0.98, load=load(3, 100)),
    ]
    verdict = decide(rows)
    assert verdict.row == 2
    assert {pick.row for pick in verdict.picks if pick.kind in ("p99", "throughput")} == {2}


def test_without_load_tests_the_smallest_is_recommended_and_said_so() -> None:
    verdict = decide([row(0.98, size_bytes=2048), row(0.98, size_bytes=1024)])
    assert verdict.row == 1
    assert "There is no load test to compare" in verdict.reason


def cheap(*cpu_ms: float, **changes: Any) -> Load:
    runs = [
        {"run_id": f"r{i}", "requests": 1000, "throughput": 9, "p50": 1, "p90": 1, "p99": 2, "cpu_ms": v}
        for i, v in enumerate(cpu_ms)
    ]
    return load(2, 100, runs=runs, cpu_ms=sorted(cpu_ms)[len(cpu_ms) // 2], **changes)


def cheapest(*rows: Row) -> Any:
    return next((pick for pick in decide(rows).picks if pick.kind == "cpu"), None)


def test_the_cheapest_takes_the_least_server_cpu_and_names_its_trade_off() -> None:
    found = cheapest(row(0.98, load=cheap(0.9, 0.8, 1.0)), row(0.80, load=cheap(0.2, 0.3, 0.4), framework="pytorch"))
    assert (found.title, found.row, found.value) == ("Cheapest by server CPU", 1, "0.300 ms/img")
    assert found.detail.startswith("Trade-off: accuracy 80.00%, 18.00 points below the best.")
    assert found.detail.endswith("Next: Keras ONNX (matched), 0.900 ms/img.")


def test_server_cpu_whose_repeats_overlap_is_called_not_separable() -> None:
    found = cheapest(row(0.98, load=cheap(0.2, 0.3, 0.4)), row(0.98, load=cheap(0.4, 0.5, 0.6)))
    assert "0.200 ms/img to 0.400 ms/img over 3 repeats." in found.detail
    assert "Not separable from 1 other." in found.detail


def test_servers_that_do_not_tell_their_cpu_time_or_were_contended_are_not_the_cheapest() -> None:
    assert cheapest(row(0.98, load=load(1, 1)), row(0.98, load=cheap(0.1, contended=True))) is None
    assert cheapest(row(0.98, load=load(1, 1)), row(0.98, load=cheap(0.7))).row == 1


def test_a_p99_that_its_queries_do_not_support_does_not_compete_and_that_is_said() -> None:
    few = load(1, 100, requests=458)
    verdict = decide([row(0.98, load=few, size_bytes=1), row(0.98, load=load(9, 10, requests=459))])
    assert verdict.row == 1
    p99 = next(pick for pick in verdict.picks if pick.kind == "p99")
    assert p99.row == 1
    assert p99.detail.endswith("Left out: 1 with fewer than 459 queries.")
    assert "1 load test of 2 had fewer than the 459 queries that p99 takes" in verdict.method
    assert next(pick for pick in verdict.picks if pick.kind == "throughput").row == 0


def test_p99_is_supported_where_every_repeat_has_the_queries_and_not_all_together() -> None:
    """Each repeat has a p99 of its own: three of 200 queries say nothing about it, though 600 pooled would."""
    few = [{"run_id": "r", "requests": 200, "throughput": 9, "p50": 1, "p90": 1, "p99": 1} for _ in range(3)]
    pooled = load(1, 100, requests=600, runs=few)
    assert (pooled.least_queries, pooled.supported, pooled.supports(99.0)) == (200, 95, False)
    failed = load(1, 100, runs=[{**few[0], "requests": 400, "failed": 59}])
    assert failed.supports(99.0)
    skipped = load(1, 100, runs=[{**few[0], "requests": 459}, {**few[0], "contended": True}])
    assert skipped.supports(99.0)
    verdict = decide([row(0.98, load=pooled, size_bytes=1), row(0.98, load=load(9, 10, requests=459))])
    assert next(pick for pick in verdict.picks if pick.kind == "p99").row == 1


def test_where_no_load_test_supports_p99_there_is_no_pick_by_it_and_the_smallest_is_recommended() -> None:
    few = load(1, 100, requests=100)
    verdict = decide([row(0.98, load=few, size_bytes=9), row(0.98, load=few, size_bytes=3)])
    assert verdict.row == 1
    assert "No load test of them is enough for p99." in verdict.reason
    assert [pick.kind for pick in verdict.picks] == ["accuracy", "throughput", "size"]


def test_a_load_test_whose_generator_was_busy_does_not_count_even_in_a_summary_that_drew_no_conclusion() -> None:
    busy = row(0.98, load=load(1, 900, generator_cpu=0.9), size_bytes=9)
    verdict = decide([busy, row(0.98, load=load(3, 100, generator_cpu=0.89))])
    assert {pick.row for pick in verdict.picks if pick.kind in ("p99", "throughput")} == {1}
    assert MEASURES["throughput"].get(busy) is None
    alone = decide([busy, row(0.98, size_bytes=5)])
    assert "No load test of them counts." in alone.reason
