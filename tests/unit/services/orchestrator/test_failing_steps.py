"""What a failing training or evaluation leaves of an experiment. The services are fakes that answer at once."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import BakeoffError, InvalidInputError, NotFoundError, NotReadyError, WrongStateError
from core.schemas.specs import EvaluateSpec, PrepareSpec, ReportSpec, TrainSpec
from services.client.control import TrainerClient
from services.orchestrator import reconciler as module
from services.orchestrator.experiment_file import MisfitError, read_experiment
from services.orchestrator.fitting import check_trainings
from services.orchestrator.reconciler import Finished
from services.orchestrator.steps import train_steps
from tests.unit.services.orchestrator.faked_services import OVERRIDES, Driver, Fails, Services
from tests.unit.services.orchestrator.test_reconciler import DIGITS, Silent


class Noting(Silent):
    """Keeps what is told of the whole."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.told = threading.Event()

    def note(self, text: str) -> None:
        self.notes.append(text)
        if "trainers" in text:
            self.told.set()


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
    assert asked[0] == ("matched", "keras", 0)
    assert sorted(asked[1:]) == [("matched", "keras", 1), ("matched", "pytorch", 0)]


def test_trainers_are_asked_at_once_and_what_is_waited_for_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLOW_S", 0.0)
    services, reconciler = Driver(tmp_path, monkeypatch).reconciler(lambda _: False, (TWO_ARMS,), noting := Noting())
    # Both trainers are asked about the first arm before any has answered, and only then it is told.
    both = threading.Barrier(2, timeout=10)

    def refuses(spec: TrainSpec) -> None:
        if spec.arm == "one":
            both.wait()
            assert noting.told.wait(10)

    services.refuses = refuses
    assert reconciler.run().failed == ()
    assert noting.notes[-1] == "waiting for the trainers to look at weights and images of what they shall train"


def test_a_trainer_that_is_away_when_it_is_asked_is_no_mistake_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services, reconciler = Driver(tmp_path, monkeypatch).reconciler(lambda _: False, ())
    services.refuses = lambda _: NotReadyError("host:1 is not available")
    with pytest.raises(NotReadyError):
        reconciler.run()


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, NotReadyError])
def test_whoever_stops_asking_does_not_wait_for_a_trainer_that_is_away(interruption: type[BaseException]) -> None:
    class Interrupts(TrainerClient):
        def check(self, spec: Any) -> None:
            raise interruption

    def connect(service: str) -> TrainerClient:
        return (Interrupts if service == "trainer-keras" else TrainerClient)("127.0.0.1:1")

    experiment = read_experiment(DIGITS, OVERRIDES)
    began = time.monotonic()
    with pytest.raises(interruption):
        check_trainings(train_steps(experiment, "f" * 64, "digest"), connect)
    assert time.monotonic() - began < 30, "a client is patient for a minute"


def test_images_that_were_removed_from_the_store_are_prepared_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(tmp_path, monkeypatch)
    driver.reconciler(lambda _: False, ())[1].run()
    services, reconciler = driver.reconciler(lambda _: False, ("seeds=[0, 1]",))
    reconciler.run()
    assert len(services.asked(PrepareSpec)) == 1, "its result is in the store, the images are not"
    fingerprint = services.asked(TrainSpec)[0].data
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "pixels").touch()
    driver.store.put("prepared", fingerprint, tmp_path / "images")
    services, reconciler = driver.reconciler(lambda _: False, ("seeds=[0, 1, 2]",))
    reconciler.run()
    assert services.asked(PrepareSpec) == []


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
