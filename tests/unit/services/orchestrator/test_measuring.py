from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pydantic
import pytest

from core import files
from core.errors import BakeoffError
from core.schemas.experiment import LoadTestPlan
from core.schemas.results import LoadTestResult
from core.schemas.specs import LoadTestSpec
from core.store import Store
from services.client.directory import Directory
from services.orchestrator import loadtest
from services.orchestrator.measuring import Measuring
from services.orchestrator.steps import Step, load_spec
from tests.unit.evaluator.test_loads import result


class Quiet:
    """A reporter nobody listens to."""

    def plan(self, totals: dict[str, int]) -> None: ...
    def progress(self, step: Step, phase: str, done: float, total: float, values: dict[str, float]) -> None: ...
    def note(self, text: str) -> None: ...
    def log(self, step: Step, level: str, text: str) -> None: ...
    def finished(self, step: Step, outcome: str, text: str) -> None: ...


class Bench(Measuring):
    """Measuring without servers."""

    @contextmanager
    def served(self, wanted: Sequence[Step | None]) -> Iterator[None]:
        yield

    def lost(self, step: Step) -> bool:
        return False


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[LoadTestSpec]:
    """Specs in the order they are measured; a model answers 1000 queries per second, and holds its bound up to 450."""
    done: list[LoadTestSpec] = []

    def run(folder: Path, spec: LoadTestSpec, flags: dict[str, str], _on_progress: object) -> Path:
        if spec.model == "broken":
            raise BakeoffError("it broke")
        done.append(spec)
        slow = None if spec.bound_ms is None else 600 if (spec.rate or 0) > 450 else 0
        found = result([1.0] * 1000, run_id=flags["run-id"], throughput=1000.0 * spec.batch_size, over_bound=slow)
        folder.mkdir(parents=True, exist_ok=True)
        files.write_json(folder / "result.json", found.model_copy(update={"spec": spec}))
        return folder / "result.json"

    monkeypatch.setattr(loadtest, "run", run)
    return done


def plan(**values: object) -> LoadTestPlan:
    return LoadTestPlan.model_validate(values)


def measure(root: Path, plan: LoadTestPlan, *models: str) -> list[LoadTestResult]:
    bench = Bench(Directory(root), Store(str(root / "store"), root / "cache"), Quiet(), lambda _: nullcontext())
    bench.run(plan, [load_spec(plan, name, 1, "a" * 64, "onnxruntime", "b" * 64) for name in models])
    return bench.found


def test_repeats_are_interleaved_and_every_other_round_runs_backwards(measured, tmp_path) -> None:
    measure(tmp_path, plan(repeats=3), "x", "y", "z")
    assert "".join(spec.model for spec in measured) == "xyzzyxxyz"
    assert [spec.repeat for spec in measured[::3]] == [0, 1, 2]


def test_a_plan_that_is_run_again_measures_nothing_again(measured, tmp_path) -> None:
    wanted = plan(repeats=2, sweep=6, search=True, bound_ms=10)
    first = measure(tmp_path, wanted, "x", "y")
    count = len(measured)
    assert measure(tmp_path, wanted, "x", "y") == first
    assert len(measured) == count


def test_a_sweep_is_spread_around_what_the_closed_loop_answered(measured, tmp_path) -> None:
    measure(tmp_path, plan(sweep=6), "x")
    assert [spec.rate for spec in measured] == [None, 200, 380, 560, 740, 920, 1100]
    assert {spec.batch_size for spec in measured} == {1}


def test_sweeps_are_interleaved_over_artefacts_and_repeated(measured, tmp_path) -> None:
    measure(tmp_path, plan(sweep=(100.0, 200.0), repeats=2), "x", "y")
    swept = [(spec.model, spec.rate, spec.repeat) for spec in measured if spec.rate]
    assert swept == [
        *[("x", 100, 0), ("y", 100, 0), ("y", 200, 0), ("x", 200, 0)],
        *[("y", 100, 1), ("x", 100, 1), ("x", 200, 1), ("y", 200, 1)],
    ]


def test_a_sweep_over_the_rate_of_the_plan_itself_counts_no_measurement_twice(measured, tmp_path) -> None:
    found = measure(tmp_path, plan(scenario="server", rate=200, sweep=(100.0, 200.0), repeats=2), "x")
    assert len({result.run_id for result in found}) == len(found) == len(measured) == 2 + 1 + 2


def test_a_scenario_that_shows_no_capacity_gets_a_closed_loop_for_it(measured, tmp_path) -> None:
    measure(tmp_path, plan(scenario="multi_stream", sweep=(100.0, 200.0)), "x")
    assert [spec.scenario for spec in measured] == ["multi_stream", "closed", "server", "server"]


def test_the_queries_of_a_closed_loop_with_batches_are_counted_not_its_images(measured, tmp_path) -> None:
    measure(tmp_path, plan(batch_size=4, sweep=6), "x")
    assert measured[1].rate == 200


def test_a_search_measures_enough_queries_for_p99_and_ends_at_the_limit(measured, tmp_path) -> None:
    measure(tmp_path, plan(search=True, bound_ms=10), "x")
    rates = [spec.rate for spec in measured if spec.rate]
    assert {spec.min_queries for spec in measured if spec.rate} == {662}
    below, above = max(r for r in rates if r <= 450), min(r for r in rates if r > 450)
    assert above / below <= 1.06


def test_a_search_takes_a_rate_of_each_artefact_in_turn_as_often_as_the_rest(measured, tmp_path) -> None:
    measure(tmp_path, plan(search=True, bound_ms=10, repeats=2), "x", "y")
    searched = [(spec.model, spec.rate, spec.repeat) for spec in measured if spec.rate]
    rate = searched[0][1]
    assert searched[:4] == [("x", rate, 0), ("x", rate, 1), ("y", rate, 0), ("y", rate, 1)]
    assert len(searched) == len(set(searched))


def test_a_model_that_cannot_be_measured_does_not_stop_the_others(measured, tmp_path) -> None:
    failed = []

    @contextmanager
    def tolerate(step: Step) -> Iterator[None]:
        try:
            yield
        except BakeoffError as error:
            failed.append(f"{step.label}: {error}")

    wanted = plan(sweep=6, search=True, bound_ms=10)
    bench = Bench(Directory(tmp_path), Store(str(tmp_path / "store"), tmp_path / "cache"), Quiet(), tolerate)
    bench.run(wanted, [load_spec(wanted, name, 1, "a" * 64, "onnxruntime", "b" * 64) for name in ("broken", "x")])
    assert failed == ["broken: it broke", "broken: it broke"]  # Its capacity was asked for once more.
    assert {found.spec.model for found in bench.found} == {"x"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"search": True}, "search looks for the highest rate within bound_ms"),
        ({"sweep": 5}, "greater than or equal to 6"),
        ({"sweep": []}, "sweep is empty"),
        ({"repeats": 0}, "greater than or equal to 1"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(values, message) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        plan(**values)
