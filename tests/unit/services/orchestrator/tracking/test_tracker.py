from pathlib import Path

import pytest
from bakeoff.run.v1 import run_pb2

from core.mirror import MirroredRepository
from core.repository import ModelRepository
from core.store import Store
from services.orchestrator.steps import Step
from services.orchestrator.tracking.mlflow import cost, parameters
from services.orchestrator.tracking.settings import open_tracker
from services.orchestrator.tracking.sink import Outcome, Sink, Tracked
from services.orchestrator.tracking.tracker import OFF, Tracker
from tests.unit.evaluator.builder import Experiment
from tests.unit.serving import published

RESULT = next(r for r in Experiment(frameworks=("keras",), seeds=(0,), load_tests=False).results if r.kind == "train")
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
        tracker.finished(STEP, RESULT, store)
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
        tracker.finished(STEP, RESULT, store)
    assert said == ["tracking stopped, the experiment goes on: ConnectionError: no server at http://nowhere"]
    assert len(sound.told) == 1


def test_a_result_that_is_gone_stops_tracking_and_nothing_else(tmp_path: Path) -> None:
    said: list[str] = []
    with Tracker([Remembering], said.append) as tracker:
        tracker.finished(STEP, RESULT, Store(str(tmp_path / "empty"), tmp_path / "cache"))
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
            tracker.finished(STEP, RESULT, store)
        published.publish(models, name, published.linear(published.weights()))
        with Tracker([Keeping], lambda line: None, models) as tracker:
            tracker.finished(STEP, RESULT, store)
    assert kept[0] == kept[2] == ()
    for (folder,) in (kept[1], kept[3]):
        assert (folder.parent.name, folder.name) == (name, "1")
        assert (folder / "model.onnx").read_bytes() == b"model"


def test_off_does_nothing(store: Store) -> None:
    with OFF as tracker:
        tracker.finished(STEP, RESULT, store)


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
