import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from bakeoff.run.v1 import run_pb2

from core import files
from core.mirror import MirroredRepository
from core.repository import ModelRepository
from core.store import Store
from services.orchestrator.steps import Step, Subject
from services.orchestrator.tracking.mlflow import cost, parameters
from services.orchestrator.tracking.settings import open_tracker
from services.orchestrator.tracking.sink import Outcome, Sink, Tracked
from services.orchestrator.tracking.tracker import OFF, Tracker, served_name
from tests.unit.evaluator.builder import Experiment
from tests.unit.serving import published

RESULTS = Experiment(frameworks=("keras",), seeds=(0,), load_tests=False).results
RESULT = next(r for r in RESULTS if r.kind == "train")
SCORED = next(r for r in RESULTS if r.kind == "evaluate")
SUBJECT = Subject(RESULT, RESULT.models[0], "onnxruntime")
STEP = Step(RESULT.spec, "trainer-keras", "matched keras s0")
EPOCH = run_pb2.Progress(phase="train", done=2, total=8, unit="epochs", values={"train_loss": 0.5})


class Remembering:
    """A sink that fails on request."""

    name = "memory"

    def __init__(self, fails: bool = False) -> None:
        self.told: list[str] = []
        self._fails = fails

    def epoch(self, run: Tracked, number: int, values: dict[str, float]) -> None:
        self.told.append(f"epoch {number} {run.name} {values['train_loss']}")
        if self._fails:
            raise OSError("disk full")

    def finished(self, run: Tracked, outcome: Outcome) -> None:
        self.told.append(f"finished {outcome.result.run_id} {outcome.folder.name}")

    def failed(self, run: Tracked, reason: str) -> None:
        self.told.append(f"failed {reason}")

    def scored(self, run: Tracked, name: str, values: dict[str, float]) -> None:
        self.told.append(f"scored {run.run_id} {name} {values['accuracy']:.4f} {values['log_loss']:.4f}")

    def interrupted(self, run: Tracked) -> None:
        self.told.append(f"interrupted {run.name}")

    def pruned(self, run: Tracked) -> None:
        self.told.append(f"pruned {run.name}")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store, folder = Store(str(tmp_path / "store"), tmp_path / "cache"), tmp_path / "object"
    folder.mkdir()
    (folder / "result.json").write_text(RESULT.model_dump_json())
    store.put("results", RESULT.run_id, folder)
    return store


def tell(store: Store, *sinks: Sink) -> list[str]:
    said: list[str] = []
    with Tracker([lambda sink=sink: sink for sink in sinks], said.append) as tracker:  # type: ignore[misc]
        tracker.progress(STEP, EPOCH)
        tracker.progress(STEP, run_pb2.Progress(phase="train", done=30, total=100, unit="steps"))
        tracker.finished(RESULT, store)
        tracker.failed(STEP, "lost")
        tracker.pruned(STEP)
    return said


def test_every_sink_hears_of_epochs_results_and_failures_in_order(store: Store) -> None:
    first, second = Remembering(), Remembering()
    assert tell(store, first, second) == []
    ended = [f"finished {RESULT.run_id} {RESULT.run_id}", "failed lost", "pruned matched-keras-s0"]
    assert first.told == ["epoch 2 matched-keras-s0 0.5", *ended]
    assert second.told == first.told


def test_a_sink_that_fails_is_left_out_with_one_line_and_the_others_go_on(store: Store) -> None:
    broken, sound = Remembering(fails=True), Remembering()
    said = tell(store, broken, sound)
    assert said == ["tracking in memory stopped, the experiment goes on: OSError: disk full"]
    assert len(broken.told) == 1
    assert len(sound.told) == 4


def test_a_sink_that_cannot_be_opened_stops_nobody(store: Store) -> None:
    said: list[str] = []
    sound = Remembering()

    def broken() -> Sink:
        raise ConnectionError("no server at http://nowhere")

    with Tracker([broken, lambda: sound], said.append) as tracker:
        tracker.finished(RESULT, store)
    assert said == ["tracking stopped, the experiment goes on: ConnectionError: no server at http://nowhere"]
    assert len(sound.told) == 1


def test_a_result_that_is_gone_stops_tracking_and_nothing_else(tmp_path: Path) -> None:
    said: list[str] = []
    with Tracker([Remembering], said.append) as tracker:
        tracker.finished(RESULT, Store(str(tmp_path / "empty"), tmp_path / "cache"))
    assert len(said) == 1
    assert "NotFoundError" in said[0]


def test_sinks_get_the_files_of_models_wherever_those_were_published(store: Store, tmp_path: Path) -> None:
    name = RESULT.models[0].name
    kept: list[tuple[Path, ...]] = []

    class Keeping(Remembering):
        def finished(self, run: Tracked, outcome: Outcome) -> None:
            kept.append(outcome.models)

    places = (ModelRepository(tmp_path / "models"), MirroredRepository("memory://tracked/models", tmp_path / "cache"))
    for models in places:
        with Tracker([Keeping], lambda line: None, models) as tracker:
            tracker.finished(RESULT, store)
        published.publish(models, name, published.linear(published.weights()))
        with Tracker([Keeping], lambda line: None, models) as tracker:
            tracker.finished(RESULT, store)
    assert kept[0] == kept[2] == ()
    for (folder,) in (kept[1], kept[3]):
        assert (folder.parent.name, folder.name) == (name, "1")
        assert (folder / "model.onnx").read_bytes() == b"model"


def test_an_artefact_is_scored_after_its_training_is_finished_with_what_the_result_says(
    store: Store, tmp_path: Path
) -> None:
    sink = Remembering()
    files.write_json(tmp_path / "evaluated/result.json", SCORED)
    store.put("results", SCORED.run_id, tmp_path / "evaluated")
    with Tracker([lambda: sink], print) as tracker:
        tracker.finished(RESULT, store)
        tracker.scored(SUBJECT, SCORED.run_id, store)
    figures = f"{SCORED.accuracy:.4f} {SCORED.log_loss:.4f}"
    assert sink.told[1:] == [f"scored {RESULT.run_id} {SUBJECT.model.format} {figures}"]


def test_a_score_that_cannot_be_read_is_left_out_and_tracking_goes_on(store: Store) -> None:
    sink, said = Remembering(), list[str]()
    with Tracker([lambda: sink], said.append) as tracker:
        tracker.scored(SUBJECT, "evaluate-gone", store)
        tracker.scored(SUBJECT, RESULT.run_id, store)
        tracker.finished(RESULT, store)
    assert said == []
    assert [line.split()[0] for line in sink.told] == ["finished"]


@pytest.mark.parametrize(
    ("suffix", "runtime", "expected"),
    [
        ("onnx", "onnxruntime", "onnx"),
        ("savedmodel", "tensorflow", "savedmodel"),
        ("onnx-int8", "onnxruntime", "onnx-int8"),
        ("onnx", "openvino-bf16", "onnx-openvino-bf16"),
    ],
)
def test_a_score_is_named_by_format_precision_and_other_runtimes(suffix: str, runtime: str, expected: str) -> None:
    model = RESULT.models[0].model_copy(update={"name": f"{RESULT.spec.model_prefix}-{suffix}"})
    assert served_name(Subject(RESULT, model, runtime)) == expected


def interrupt(sink: Sink, told: Callable[[Tracker], None]) -> None:
    with contextlib.suppress(KeyboardInterrupt), Tracker([lambda: sink], print) as tracker:
        told(tracker)
        raise KeyboardInterrupt


def test_an_interrupted_experiment_waits_until_that_is_written() -> None:
    class Slow(Remembering):
        def interrupted(self, run: Tracked) -> None:
            time.sleep(0.2)
            super().interrupted(run)

    sink = Slow()
    interrupt(sink, lambda tracker: tracker.interrupted(STEP))
    assert sink.told == ["interrupted matched-keras-s0"]


def test_an_interrupted_experiment_leaves_out_what_is_told_again_when_it_goes_on(store: Store) -> None:
    begun, sink = threading.Event(), Remembering()

    def slow() -> Sink:
        begun.wait(60)
        return sink

    def begin_when_hurried(tracker: Tracker) -> None:
        last = time.monotonic() + 60
        while not tracker._hurried and time.monotonic() < last:
            time.sleep(0.01)
        begun.set()

    with contextlib.suppress(KeyboardInterrupt), Tracker([slow], print) as tracker:
        tracker.finished(RESULT, store)
        tracker.interrupted(STEP)
        threading.Thread(target=begin_when_hurried, args=(tracker,)).start()
        raise KeyboardInterrupt
    assert sink.told == ["interrupted matched-keras-s0"]


def test_an_interrupted_experiment_does_not_wait_long(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = threading.Event()

    class Hanging(Remembering):
        def finished(self, run: Tracked, outcome: Outcome) -> None:
            hanging.wait(60)

    monkeypatch.setattr("services.orchestrator.tracking.tracker.ERROR_TIMEOUT_S", 0.1)
    start = time.monotonic()
    interrupt(Hanging(), lambda tracker: tracker.finished(RESULT, store))
    hanging.set()
    assert time.monotonic() - start < 10


def test_an_experiment_that_is_refused_before_anything_is_told_does_not_wait_for_libraries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.orchestrator.tracking.tracker.ERROR_TIMEOUT_S", 60.0)
    loading = threading.Event()

    def slow() -> Sink:
        loading.wait(60)
        return Remembering()

    start = time.monotonic()
    with pytest.raises(ValueError, match="no such class"), Tracker([slow], print):
        raise ValueError("no such class")
    loading.set()
    assert time.monotonic() - start < 4


def test_off_reads_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.orchestrator.tracking.tracker.read_result", lambda *_: pytest.fail("it was read"))
    with OFF as tracker:
        tracker.scored(SUBJECT, "evaluate-1", Store(str(tmp_path / "store"), tmp_path / "cache"))


def test_off_does_nothing(store: Store) -> None:
    with OFF as tracker:
        tracker.finished(RESULT, store)


def test_the_environment_turns_tracking_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAKEOFF_TRACKING", "off")
    assert open_tracker(tmp_path, ModelRepository(tmp_path), print) is OFF


def test_parameters_are_flat_and_name_the_data() -> None:
    found = parameters(RESULT.spec)
    assert found["recipe.optimizer.learning_rate"] == "0.001"
    assert found["framework"] == "keras"
    assert found["data_fingerprint"] == RESULT.spec.data
    assert all(len(value) <= 500 for value in found.values())


def test_cost_has_every_phase_and_the_size_of_every_format() -> None:
    found = cost(RESULT)
    assert {"seconds.build", "seconds.train", "bytes.onnx", "bytes.savedmodel"} <= found.keys()
