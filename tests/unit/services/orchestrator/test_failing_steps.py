"""What a failing training or evaluation leaves of an experiment. The services are fakes that answer at once."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import BakeoffError, InvalidInputError, NotFoundError, NotReadyError, WrongStateError
from core.schemas.specs import EvaluateSpec, PrepareSpec, ReportSpec, TrainSpec
from services.orchestrator.experiment_file import MisfitError
from services.orchestrator.reconciler import Finished
from tests.unit.services.orchestrator.faked_services import Driver, Fails, Services


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Services, Finished]]:
    """Runs the experiment, changed by overrides, with the steps that fail."""

    def run(fails: Fails, *overrides: str) -> tuple[Services, Finished]:
        services, reconciler = Driver(tmp_path, monkeypatch).reconciler(fails, overrides)
        return services, reconciler.run()

    return run


def test_where_every_step_succeeds_nothing_is_missing(run: Any) -> None:
    services, finished = run(lambda _: False)
    assert finished.failed == ()
    (report,) = services.asked(ReportSpec)
    assert report.missing == ()
    assert len(report.results) == 1 + 2 + 3


def test_a_training_that_fails_leaves_the_others_going_and_is_missing_in_the_report(run: Any) -> None:
    services, finished = run(lambda spec: isinstance(spec, TrainSpec) and spec.framework == "keras")
    assert [spec.framework for spec in services.asked(TrainSpec)] == ["keras", "pytorch"]
    assert {spec.model for spec in services.asked(EvaluateSpec)} == {
        "digits-matched-pytorch-s0-onnx",
        "digits-matched-pytorch-s0-pt2",
    }
    (report,) = services.asked(ReportSpec)
    assert report.missing == finished.failed == ("train matched keras s0: out of memory",)
    assert len(report.results) == 1 + 1 + 2


def test_an_evaluation_that_fails_leaves_the_others_going_and_is_missing_in_the_report(run: Any) -> None:
    services, finished = run(lambda spec: isinstance(spec, EvaluateSpec) and spec.model.endswith("pytorch-s0-onnx"))
    assert len(services.asked(EvaluateSpec)) == 3
    (report,) = services.asked(ReportSpec)
    assert report.missing == finished.failed == ("evaluate digits-matched-pytorch-s0-onnx: out of memory",)
    assert len(report.results) == 1 + 2 + 2
    assert (finished.report / "result.json").is_file()


def test_models_scored_at_the_same_time_are_reported_in_the_order_of_the_experiment(run: Any) -> None:
    both = threading.Barrier(2, timeout=30)

    def slow(spec: Any) -> bool:
        if isinstance(spec, EvaluateSpec) and spec.model != "digits-matched-pytorch-s0-pt2":
            both.wait()  # Not before the other is under way too.
            time.sleep(0.2 if "keras" in spec.model else 0.0)
        return False

    services, _ = run(slow)
    (report,) = services.asked(ReportSpec)
    specs = [services.specs[run_id] for run_id in report.results]
    scored = [spec.model for spec in specs if isinstance(spec, EvaluateSpec)]
    assert scored == [f"digits-matched-{name}" for name in ("keras-s0-onnx", "pytorch-s0-onnx", "pytorch-s0-pt2")]


TWO_ARMS = "arms={one: {architecture: digits-cnn, recipe: {epochs: 1}}, two: {architecture: mlp, recipe: {epochs: 1}}}"


def test_what_trainers_would_refuse_is_told_together_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(spec: TrainSpec) -> BakeoffError | None:
        if spec.arm == "two":
            return InvalidInputError("w.pth does not hold mlp")
        return WrongStateError("keras is not installed here") if spec.framework == "keras" else None

    overrides = (TWO_ARMS, "seeds=[0, 1]")
    services, reconciler = Driver(tmp_path, monkeypatch).reconciler(lambda _: False, overrides)
    services.refuses = refuses
    with pytest.raises(MisfitError) as refused:
        reconciler.run()
    assert [str(one) for one in refused.value.misfits] == [
        "arms.one: cannot be trained with keras: keras is not installed here",
        "arms.two: cannot be trained with keras, pytorch: w.pth does not hold mlp",
    ]
    assert services.asked(TrainSpec) == []


def test_weights_that_are_not_there_stop_no_other_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = "weights unavailable: resnet34-b627a593.pth is not in the cache"
    services, reconciler = Driver(tmp_path, monkeypatch).reconciler(
        lambda spec: missing if isinstance(spec, TrainSpec) and spec.arm == "two" else False, (TWO_ARMS,)
    )
    services.refuses = lambda spec: NotFoundError(missing) if spec.arm == "two" else None
    assert reconciler.run().failed == tuple(f"train two {name} s0: {missing}" for name in ("keras", "pytorch"))


def test_only_what_is_missing_is_asked_about_and_once_an_arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, int]] = []

    def run(*overrides: str) -> None:
        services, reconciler = Driver(tmp_path, monkeypatch).reconciler(lambda _: False, overrides)
        services.refuses = lambda spec: asked.append((spec.arm, spec.framework, spec.seed))
        reconciler.run()

    run("frameworks=[keras]", "formats={keras: [onnx]}")
    run("seeds=[0, 1, 2]")
    assert asked == [("matched", "keras", 0), ("matched", "pytorch", 0), ("matched", "keras", 1)]


def test_a_trainer_that_is_away_when_it_is_asked_is_no_mistake_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services, reconciler = Driver(tmp_path, monkeypatch).reconciler(lambda _: False, ())
    services.refuses = lambda _: NotReadyError("host:1 is not available")
    with pytest.raises(NotReadyError):
        reconciler.run()


OTHER_SPLIT = "other_split={split: {policy: contiguous}}"


def test_the_other_split_is_trained_and_scored_apart(run: Any) -> None:
    services, finished = run(lambda _: False, OTHER_SPLIT)
    assert finished.failed == ()
    assert [spec.data.split.policy for spec in services.asked(PrepareSpec)] == ["stratified", "contiguous"]
    trained = [(spec.arm, spec.framework) for spec in services.asked(TrainSpec)]
    assert trained[2:] == [("matched-contiguous", "keras"), ("matched-contiguous", "pytorch")]
    (report,) = services.asked(ReportSpec)
    assert len(report.results) == 1 + 2 + 3
    others = [services.specs[run_id] for run_id in report.other_split]
    assert [spec.kind for spec in others] == ["prepare", "train", "train", "evaluate", "evaluate"]
    assert {(spec.calibrate, spec.corruptions) for spec in others[3:]} == {(False, ())}
    assert {spec.model for spec in others[3:]} == {
        f"digits-matched-contiguous-{framework}-s0-onnx" for framework in ("keras", "pytorch")
    }


def test_a_failure_on_the_other_split_is_missing_in_the_report(run: Any) -> None:
    services, finished = run(lambda s: isinstance(s, TrainSpec) and s.arm == "matched-contiguous", OTHER_SPLIT)
    (report,) = services.asked(ReportSpec)
    assert report.missing == finished.failed
    assert [line.split(":")[0] for line in report.missing] == [
        "train matched-contiguous keras s0",
        "train matched-contiguous pytorch s0",
    ]
    assert len(report.results) == 1 + 2 + 3
    assert len(report.other_split) == 1
