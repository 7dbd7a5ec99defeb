import pytest

from core.schemas.results import LatencySummary, LoadTestResult
from loadtests.bench_null import judge
from tests.unit.evaluator.test_loads import result


def paced(**changes: object) -> LoadTestResult:
    return result([1.0] * 300, **{"generator_cpu": 0.1, **changes})


def stalled(p99: float) -> LoadTestResult:
    return result([1.0]).model_copy(
        update={"latency_ms": LatencySummary(mean=1, p50=1, p90=1, p95=1, p99=p99, p999=p99, max=p99)}
    )


def test_a_punctual_generator_that_sees_the_freeze_is_trusted() -> None:
    assert judge(paced(), stalled(950)) == []


@pytest.mark.parametrize(
    ("generator", "p99", "complaint"),
    [
        (paced(), 3.0, "a freeze of 1 s does not show: p99 is 3.0 ms"),
        (paced(problems=("late",)), 950, "late"),
        (paced(generator_cpu=0.95), 950, "used 95% of a core and was the bottleneck"),
    ],
)
def test_a_generator_that_cannot_be_trusted_says_why(generator: LoadTestResult, p99: float, complaint: str) -> None:
    (found,) = judge(generator, stalled(p99))
    assert complaint in found
