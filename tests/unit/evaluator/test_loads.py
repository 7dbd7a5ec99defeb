import numpy as np
import pytest
from hdrh.histogram import HdrHistogram

from core.rates import highest_passed, judged
from core.schemas.results import LatencySummary, LoadTestResult, ServerAccount
from core.schemas.specs import LoadTestSpec
from evaluator.loads import pool, pool_repeats, saturation
from tests.unit.evaluator.builder import environment


def result(latencies_ms: list[float], contended: bool = False, **changes: object) -> LoadTestResult:
    """A result with real histograms of made-up latencies."""
    spec_keys = {"scenario", "rate", "repeat", "bound_ms", "model", "users"} & changes.keys()
    spec = {"model": "m", "version": 1, "artifact": "a" * 64, "runtime": "onnxruntime", "data": "b" * 64}
    histogram = HdrHistogram(1, 3_600_000_000, 3)
    for latency in latencies_ms:
        histogram.record_value(round(latency * 1000))
    p50, p90, p95, p99, p999 = np.percentile(latencies_ms, [50, 90, 95, 99, 99.9])
    values = {
        "run_id": "r",
        "spec": LoadTestSpec.model_validate(spec | {key: changes[key] for key in spec_keys}),
        "requests": len(latencies_ms), "seconds": 2.0, "throughput": len(latencies_ms) / 2,
        "latency_ms": LatencySummary(mean=float(np.mean(latencies_ms)), p50=p50, p90=p90, p95=p95, p99=p99, p999=p999,
                                     max=max(latencies_ms)),
        "histogram": histogram.encode().decode(), "server_ms": {"queue": 1.0}, "mean_batch": 2.0, "errors": {},
        "environment": environment(contended=contended),
    }  # fmt: skip
    return LoadTestResult.model_validate(values | {k: v for k, v in changes.items() if k not in spec_keys})


def test_repeats_are_pooled_from_their_histograms_and_not_by_averaging_percentiles() -> None:
    slow, fast = result([100.0] * 10, repeat=1), result([1.0] * 990)
    load = pool([fast, slow])
    assert (load.requests, load.throughput, load.latency_ms.max) == (1000, 250, 100)
    assert load.latency_ms.p99 == pytest.approx(1.0, rel=1e-3)  # The mean of both p99 would be 50.
    assert load.latency_ms.p999 == pytest.approx(100, rel=1e-3)
    assert [run.p99 for run in load.runs] == [1.0, 100.0]
    assert load.curve[-1][0] == 99.9  # Beyond, a thousand queries say nothing.


def test_pooled_percentiles_cover_their_share_of_the_queries() -> None:
    load = pool([result([float(ms) for ms in range(1, 100)]), result([float(ms) for ms in range(100, 152)], repeat=1)])
    assert load.latency_ms.p99 == pytest.approx(150, rel=1e-3)  # Rank ⌈149.49⌉ of 151.


def test_contended_and_invalid_repeats_stay_out_of_the_figures_but_are_listed() -> None:
    load = pool([result([1.0] * 9), result([50.0] * 9, contended=True), result([70.0] * 9, problems=("late",))])
    assert (load.latency_ms.max, load.requests, len(load.runs)) == (1.0, 9, 3)
    assert (load.contended, load.problems) == (False, ())


def test_where_no_repeat_counts_the_figures_are_shown_with_their_problem() -> None:
    load = pool([result([1.0] * 9, problems=("late",))])
    assert load.problems == ("late",)


def test_repeats_belong_together_and_other_settings_do_not() -> None:
    loads = pool_repeats([result([1.0]), result([1.0], repeat=1), result([1.0], users=3), result([1.0], model="n")])
    assert [(load.model, load.users, len(load.runs)) for load in loads] == [("m", 8, 2), ("m", 3, 1), ("n", 8, 1)]
    assert loads[0].settings == loads[2].settings != loads[1].settings


def test_a_result_without_a_histogram_is_read_as_it_is() -> None:
    load = pool([result([1.0, 2.0], histogram="", schema_version=2)])
    assert (load.latency_ms.max, load.curve) == (2.0, ())


def test_the_servers_cpu_time_is_per_image() -> None:
    server = ServerAccount(images=200, batches=50, cpu_s=0.5, seconds=2.0)
    assert pool([result([1.0], server=server)]).cpu_ms == pytest.approx(2.5)
    assert pool([result([1.0])]).cpu_ms is None


def test_a_repeat_whose_server_tells_no_phases_does_not_dilute_the_others() -> None:
    queued, working = result([1.0] * 9, server_ms={"queue": 1.0}), result([1.0] * 3, server_ms={"infer": 4.0})
    assert pool([queued, result([1.0] * 9, server_ms={})]).server_ms == {"queue": 1.0}
    # Who tells other phases spent no time in this one.
    assert pool([queued, working]).server_ms == {"queue": 0.75, "infer": 1.0}
    assert pool([result([1.0], server_ms={})]).server_ms == {}


def at(rate: float, slow: int = 0, **changes: object) -> LoadTestResult:
    values = {"over_bound": slow, "scenario": "server", "rate": rate, "bound_ms": 10.0, "loop": "open"}
    return result([1.0] * 1000, **(values | changes))


def test_the_best_rate_is_the_highest_below_the_first_that_fails() -> None:
    (found,) = saturation(pool_repeats([at(300, slow=90), at(100), at(200), at(400)]))
    assert [load.rate for load in found.points] == [100, 200, 300, 400]
    assert (found.best_rate, found.failed_rate, found.limit) == (200, 300, "server")


def test_a_rate_the_generator_could_not_keep_is_the_generators_limit() -> None:
    (found,) = saturation(pool_repeats([at(100), at(200, problems=("late",))]))
    assert (found.best_rate, found.limit) == (100, "generator")


def test_contended_rates_give_no_best_rate_and_are_not_called_the_servers_fault() -> None:
    (found,) = saturation(pool_repeats([at(100, contended=True), at(200, contended=True)]))
    assert (found.best_rate, found.failed_rate, found.limit) == (None, 100, "other work")


@pytest.mark.parametrize(
    "results",
    [
        [at(100), at(200, slow=90, repeat=1), at(200, contended=True)],
        [at(100, contended=True), at(200)],
        [at(100), at(200, slow=90, contended=True), at(200, repeat=1)],
        [at(100, problems=("late",)), at(100, repeat=1), at(200, problems=("late",))],
    ],
)
def test_the_report_judges_rates_as_the_search_does(results: list[LoadTestResult]) -> None:
    (found,) = saturation(pool_repeats(results))
    assert (found.best_rate, found.failed_rate) == highest_passed(judged(results))


def test_without_a_bound_there_is_a_curve_and_no_best_rate() -> None:
    (found,) = saturation(
        pool_repeats([at(100, bound_ms=None, over_bound=None), at(200, bound_ms=None, over_bound=None)])
    )
    assert (found.best_rate, found.failed_rate, found.bound_ms) == (None, None, None)


def test_one_rate_is_no_curve() -> None:
    assert saturation(pool_repeats([at(100), result([1.0])])) == ()


def test_a_repeat_whose_generator_was_busy_is_kept_with_its_reason_and_not_pooled() -> None:
    load = pool([result([1.0] * 9, generator_cpu=0.4), result([50.0] * 9, generator_cpu=0.97)])
    assert (load.latency_ms.max, load.requests, load.counts) == (1.0, 9, True)
    assert load.runs[1].problems[0].startswith("the generator used 97% of a core and was the bottleneck")
    assert not pool([result([50.0] * 9, generator_cpu=0.97)]).counts
