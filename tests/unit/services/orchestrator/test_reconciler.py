"""What an interruption leaves behind. The client is a fake: the moment of the interruption must be exact."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bakeoff.run.v1 import run_pb2

from core import files
from core.errors import BakeoffError, CancelledError
from core.schemas.results import TrainResult
from core.store import Store
from services.client.directory import Directory
from services.orchestrator import steps
from services.orchestrator.experiment_file import read_experiment
from services.orchestrator.reconciler import Reconciler
from services.orchestrator.remake import replace_folder
from services.orchestrator.search import Pruned
from services.orchestrator.tracking.tracker import Tracker
from tests.unit.evaluator import builder

DIGITS = Path(__file__).parents[4] / "experiments/digits.yaml"


class Silent:
    """A reporter nobody listens to."""

    def plan(self, totals: dict[str, int]) -> None: ...
    def progress(self, step: Any, phase: str, done: float, total: float, values: dict[str, float]) -> None: ...
    def note(self, text: str) -> None: ...
    def log(self, step: Any, level: str, text: str) -> None: ...
    def finished(self, step: Any, outcome: Any, text: str) -> None: ...


class FakeClient:
    """Remembers what was cancelled; `on_create` and `on_finish` run inside the calls."""

    def __init__(
        self,
        on_create: Callable[[], None],
        on_finish: Callable[[], None],
        ends: run_pb2.RunState = run_pb2.RUN_STATE_SUCCEEDED,
    ) -> None:
        self.cancelled: list[str] = []
        self._on_create, self._on_finish, self._ends = on_create, on_finish, ends

    def abandon(self) -> None: ...

    def create(self, run_id: str, spec: object) -> None:
        self._on_create()

    def finish(self, run_id: str, on_event: object) -> run_pb2.Run:
        self._on_finish()
        return run_pb2.Run(state=self._ends)

    def cancel(self, run_id: str) -> None:
        self.cancelled.append(run_id)


@pytest.fixture
def reconciler(tmp_path: Path) -> Reconciler:
    store = Store(str(tmp_path / "store"), tmp_path / "cache")
    return Reconciler(read_experiment(DIGITS), Directory(tmp_path), store, Silent())


@pytest.fixture
def step(reconciler: Reconciler) -> steps.Step:
    return steps.prepare_step(reconciler.experiment.data, "digest", "keras")


def interrupt() -> None:
    raise KeyboardInterrupt


def nothing() -> None:
    return


def test_an_interruption_while_a_run_is_watched_cancels_it(reconciler: Reconciler, step: steps.Step) -> None:
    client = FakeClient(nothing, interrupt)
    with pytest.raises(KeyboardInterrupt):
        reconciler._remote(step, client, None)  # type: ignore[arg-type]
    assert client.cancelled == [step.run_id]


def test_an_interruption_while_a_run_is_accepted_cancels_it(reconciler: Reconciler, step: steps.Step) -> None:
    accepting, interrupted = threading.Event(), threading.Event()

    def slow() -> None:
        accepting.set()
        interrupted.wait(10)

    client = FakeClient(slow, lambda: pytest.fail("a run that was interrupted is not watched"))
    raised: list[BaseException] = []

    def work() -> None:
        try:
            reconciler._remote(step, client, None)  # type: ignore[arg-type]
        except CancelledError as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert accepting.wait(10)
    reconciler._cancel_active()
    interrupted.set()
    thread.join(10)
    assert raised
    assert client.cancelled[-1] == step.run_id


def test_a_report_left_half_replaced_by_a_kill_does_not_come_back(tmp_path: Path) -> None:
    new, stale = tmp_path / "new", tmp_path / "reports/.digits.new"
    for folder, text in ((new, "fresh"), (stale, "stale")):
        folder.mkdir(parents=True)
        (folder / "report.html").write_text(text)
    for _ in range(2):
        replace_folder(new, tmp_path / "reports/digits")
        assert (tmp_path / "reports/digits/report.html").read_text() == "fresh"
    assert [path.name for path in (tmp_path / "reports").iterdir()] == ["digits"]


class Tracking(Tracker):
    """Remembers how trials ended."""

    def __init__(self) -> None:
        super().__init__((), lambda line: None)
        self.ended: list[str] = []

    def failed(self, step: steps.Step, reason: str) -> None:
        self.ended.append(f"failed {reason}")

    def interrupted(self, step: steps.Step) -> None:
        self.ended.append(f"interrupted {step.label}")

    def pruned(self, step: steps.Step) -> None:
        self.ended.append("pruned")


@pytest.mark.parametrize(
    ("error", "expected"), [(Pruned(), "pruned"), (BakeoffError("loss is nan"), "failed loss is nan")]
)
def test_a_trial_that_a_search_stops_is_tracked_as_pruned_and_not_as_failed(
    reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: str
) -> None:
    def end(*_: object) -> None:
        raise error

    reconciler.tracker = tracking = Tracking()
    monkeypatch.setattr(reconciler, "_remote", end)
    monkeypatch.setattr("services.orchestrator.reconciler._cancel", lambda *_: None)  # no service is there to ask
    step = steps.train_steps(reconciler.experiment, "0" * 64, "digest")[0]
    with pytest.raises(type(error)):
        reconciler._train_trial(step, lambda epoch, values: None)
    assert tracking.ended == [expected]


@pytest.mark.parametrize("interrupted_in", ["create", "finish"])
def test_a_training_that_is_interrupted_is_tracked_as_interrupted(reconciler: Reconciler, interrupted_in: str) -> None:
    reconciler.tracker = tracking = Tracking()
    step = steps.train_steps(reconciler.experiment, "0" * 64, "digest")[0]
    moments = {"create": nothing, "finish": nothing} | {interrupted_in: interrupt}
    with pytest.raises(KeyboardInterrupt):
        reconciler._remote(step, FakeClient(moments["create"], moments["finish"]), None)  # type: ignore[arg-type]
    assert tracking.ended == ["interrupted matched keras s0"]


def test_a_training_that_ends_as_cancelled_after_an_interruption_is_told_after_its_last_epoch(
    reconciler: Reconciler,
) -> None:
    reconciler.tracker = tracking = Tracking()
    step = steps.train_steps(reconciler.experiment, "0" * 64, "digest")[0]
    client = FakeClient(nothing, reconciler._cancel_active, run_pb2.RUN_STATE_CANCELLED)
    with pytest.raises(BakeoffError, match="cancelled"):
        reconciler._remote(step, client, None)  # type: ignore[arg-type]
    assert tracking.ended == ["interrupted matched keras s0"] * 2, "once at once, once when nothing comes any more"


def test_a_step_that_is_no_training_is_nobodys_business(reconciler: Reconciler, step: steps.Step) -> None:
    told: list[str] = []
    reconciler.tracker = Tracker([lambda: pytest.fail("no sink is needed")], told.append)
    with pytest.raises(KeyboardInterrupt):
        reconciler._remote(step, FakeClient(nothing, interrupt), None)  # type: ignore[arg-type]
    assert reconciler.tracker._queue.empty()


def test_an_int8_model_that_cannot_be_made_leaves_the_other_variants(
    reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise BakeoffError("the graph cannot be quantised")

    reconciler.experiment = read_experiment(DIGITS, ["variants=[int8, openvino]"])
    monkeypatch.setattr(reconciler, "_remote", fail)
    results = builder.Experiment(arms=("matched",), frameworks=("pytorch",), seeds=(0,), load_tests=False).results
    trained = next(result for result in results if isinstance(result, TrainResult))
    assert [subject.runtime for subject in reconciler._variants(trained)] == ["openvino"]
    ((label, reason),) = reconciler._failed.items()
    assert label == "quantize test-digits-matched-pytorch-s0-onnx"
    assert reason == "the graph cannot be quantised"


def test_a_report_is_made_anew_after_an_unreadable_result_was_repaired_or_made_again_and_only_then(
    reconciler: Reconciler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = builder.Experiment(arms=("matched",), frameworks=("pytorch",), seeds=(0,), load_tests=False).results[0]
    made: list[str] = []

    def put(seconds: float) -> None:
        files.write_json(tmp_path / "made/result.json", result.model_copy(update={"seconds": seconds}))
        reconciler.store.put("results", result.run_id, tmp_path / "made")

    def make(step: steps.Step, *_: object) -> None:
        made.append(step.run_id)
        files.write_text(tmp_path / step.run_id / "report.html", "report")
        reconciler.store.put("results", step.run_id, tmp_path / step.run_id)

    monkeypatch.setattr(reconciler, "_remote", make)
    monkeypatch.setattr(Directory, "target", lambda *_: "127.0.0.1:1")
    reconciler._results = [result.run_id]
    put(1.0)
    folder = reconciler.store.path("results", result.run_id)
    whole = (folder / "result.json").read_text()
    (folder / "result.json").write_text("{")
    for _ in range(2):
        reconciler._report()
    assert len(made) == 1
    (folder / "result.json").write_text(whole)
    for _ in range(2):
        reconciler._report()
    assert len(set(made)) == len(made) == 2
    shutil.rmtree(folder)
    put(2.0)
    for _ in range(2):
        reconciler._report()
    assert len(set(made)) == len(made) == 3
