"""The real MLflow with SQLite, and TensorBoard's own event reader."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from services.orchestrator.tracking.settings import database
from services.orchestrator.tracking.sink import Layer, Outcome, Tracked
from services.orchestrator.tracking.tensorboard import TensorBoardSink
from tests.system.containers import free_ports, wait_for
from tests.unit.evaluator.builder import Experiment

pytestmark = pytest.mark.system
RESULT = next(r for r in Experiment(frameworks=("keras",), seeds=(0,), load_tests=False).results if r.kind == "train")
RUN = Tracked(RESULT.run_id, RESULT.spec)
LAYERS = (Layer("conv", "conv 8 3x3", (8, 8, 8)), Layer("dense", "dense 10", (10,)))
OTHER = Tracked("train-with-another-recipe", RESULT.spec)
"""A run of the same name."""
EXPECTED = [(metrics.epoch, pytest.approx(metrics.train_loss, rel=1e-6)) for metrics in RESULT.history]
SETUP = """
import contextlib
import sys
from pathlib import Path
from core.schemas.results import TrainResult
from services.orchestrator.tracking.mlflow import MlflowSink
from services.orchestrator.tracking.sink import Outcome, Tracked

folder = Path(sys.argv[1])
result = TrainResult.model_validate_json((folder / "object" / "result.json").read_text())
run, outcome = Tracked(result.run_id, result.spec), Outcome(result, folder / "object", (folder / "model" / "1",))
losses = {metrics.epoch: metrics.train_loss for metrics in result.history}
"""
MLFLOW = """
uri, artifacts = sys.argv[2], Path(sys.argv[3]) if sys.argv[3:] else None
first = MlflowSink(uri, artifacts)
first.interrupted(run)
experiment = first._client.get_experiment_by_name("test-digits").experiment_id
assert first._client.search_runs([experiment]) == [], "a training that has not begun has no run"
first.epoch(run, 1, {"train_loss": losses[1]})
first.failed(run, "lost")
(failed,) = first._client.search_runs([experiment])
MlflowSink(uri, artifacts).failed(run, "lost")
assert first._client.get_run(failed.info.run_id).info.end_time == failed.info.end_time, "it failed once"
MlflowSink(uri, artifacts).pruned(run)
(stopped,) = first._client.search_runs([experiment])
assert (stopped.info.status, stopped.data.tags["state"]) == ("FINISHED", "PRUNED"), stopped
MlflowSink(uri, artifacts).pruned(run)
assert first._client.get_run(stopped.info.run_id).info.end_time == stopped.info.end_time, "it was stopped once"
MlflowSink(uri, artifacts).interrupted(run)
stopped = first._client.get_run(stopped.info.run_id)
assert (stopped.info.status, stopped.data.tags["state"]) == ("FINISHED", "PRUNED"), "it had ended already"
third = MlflowSink(uri, artifacts)
third.epoch(run, 1, {"train_loss": losses[1]})
third.epoch(run, 3, {"train_loss": losses[3]})  # the second was over too fast to be heard of
third.epoch(run, 4, {"train_loss": 9.0})  # of an attempt that is lost: the result has another loss
assert first._client.get_run(stopped.info.run_id).info.status == "RUNNING", "it goes on"
for _ in range(2):  # once at once, once when no epoch comes any more
    third.interrupted(run)
assert first._client.get_run(stopped.info.run_id).info.status == "KILLED"
broken = MlflowSink(uri, artifacts)
broken._client.log_artifacts = lambda *_: 1 / 0
with contextlib.suppress(ZeroDivisionError):
    broken.finished(run, outcome)  # up to its artefacts
assert first._client.get_run(stopped.info.run_id).info.status == "RUNNING", "it is not complete"
scores = {"accuracy": 0.75, "log_loss": 0.5}
for sink in (MlflowSink(uri, artifacts), MlflowSink(uri, artifacts)):  # two later starts of the same experiment
    sink.epoch(run, 1, {"train_loss": losses[1]})
    sink.finished(run, outcome)
    for name in ("onnx", "onnx-int8"):
        sink.scored(run, name, scores)
    sink.interrupted(run)  # a moment after it was finished

client = first._client
(found,) = client.search_runs([experiment])
assert found.info.status == "FINISHED", found.info.status
assert found.data.tags["framework"] == "keras"
assert not {"state", "bakeoff.error"} & found.data.tags.keys(), "it went on to its end"
assert found.data.params["data_fingerprint"] == result.spec.data
assert found.data.params["recipe.batch_size"] == "64"
assert found.inputs.dataset_inputs[0].dataset.digest == result.spec.data[:36]
points = sorted(client.get_metric_history(found.info.run_id, "train_loss"), key=lambda metric: metric.timestamp)
assert sorted(metric.step for metric in points) == sorted([4, *losses]), points
assert {metric.step: metric.value for metric in points} == losses, "the latest point of a step is the result's"
for key in ("validation_accuracy", "train_seconds", "validation_seconds"):
    points = sorted(client.get_metric_history(found.info.run_id, key), key=lambda metric: metric.step)
    wanted = [(metrics.epoch, getattr(metrics, key)) for metrics in result.history]
    assert [(metric.step, metric.value) for metric in points] == wanted, key
once = {"test.accuracy.onnx": 0.75, "test.accuracy.onnx-int8": 0.75, "seconds.train": result.seconds["train"]}
for key, value in once.items():
    assert [metric.value for metric in client.get_metric_history(found.info.run_id, key)] == [value], key
assert found.data.metrics["test.log_loss.onnx-int8"] == 0.5
assert {file.path for file in client.list_artifacts(found.info.run_id)} == {"models", "result"}
print("ok")
"""
DELETED = """
uri, artifacts = sys.argv[2], Path(sys.argv[3])
first = MlflowSink(uri, artifacts)
first.epoch(run, 1, {"train_loss": losses[1]})
experiment = first._client.get_experiment_by_name("test-digits").experiment_id
first._client.delete_experiment(experiment)
MlflowSink(uri, artifacts).finished(run, outcome)
assert first._client.get_experiment(experiment).lifecycle_stage == "active"
(found,) = first._client.search_runs([experiment])
assert found.info.status == "FINISHED", found.info.status
print("ok")
"""


@pytest.fixture
def outcome(tmp_path: Path) -> Outcome:
    from PIL import Image

    for name in ("object", "model/1"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "object" / "result.json").write_text(RESULT.model_dump_json())
    (tmp_path / "model" / "1" / "model.onnx").write_bytes(b"graph")
    Image.new("RGB", (12, 8), "red").save(tmp_path / "object" / "augmented.png")
    return Outcome(RESULT, tmp_path / "object", (tmp_path / "model" / "1",), LAYERS)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Address of an MLflow server."""
    (port,) = free_ports(1)
    address, log = f"http://127.0.0.1:{port}", tmp_path / "server.log"
    places = ("--backend-store-uri", database(tmp_path), "--artifacts-destination", str(tmp_path / "server"))
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1", *places]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return requests.get(f"{address}/health", timeout=5).ok
        except requests.RequestException:
            return False

    try:
        wait_for(answers, "MLflow's server", 120)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def keep_a_training(script: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SETUP + script, *arguments], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.stdout.strip().endswith("ok"), done.stderr


def test_mlflow_holds_each_training_once_with_parameters_curves_data_and_artefacts(
    outcome: Outcome, tmp_path: Path
) -> None:
    keep_a_training(MLFLOW, str(tmp_path), database(tmp_path), str(tmp_path / "artifacts"))


def test_a_server_holds_the_same(outcome: Outcome, tmp_path: Path, server: str) -> None:
    keep_a_training(MLFLOW, str(tmp_path), server)
    assert list((tmp_path / "server").rglob("model.onnx"))


def test_an_experiment_that_was_deleted_in_mlflow_comes_back_when_it_is_run_again(
    outcome: Outcome, tmp_path: Path
) -> None:
    keep_a_training(DELETED, str(tmp_path), database(tmp_path), str(tmp_path / "artifacts"))


def read(folder: Path) -> Any:
    """TensorBoard's reader of the folder of `RUN`, and of `OTHER`."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder / "test-digits" / "matched-keras-s0")).Reload()


def losses(reader: Any) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in reader.Scalars("loss/train")]


def tell(folder: Path, run: Tracked, *epochs: tuple[int, float]) -> TensorBoardSink:
    """A new process's sink, which was told of epochs."""
    sink = TensorBoardSink(folder)
    for number, loss in epochs:
        sink.epoch(run, number, {"train_loss": loss})
    return sink


def test_tensorboard_reads_scalars_graph_and_pictures(outcome: Outcome, tmp_path: Path) -> None:
    sink = TensorBoardSink(tmp_path / "tensorboard")
    sink.epoch(RUN, 1, {"train_loss": 9.0})
    for _ in range(2):
        sink.finished(RUN, outcome)
        sink.scored(RUN, "onnx-int8", {"accuracy": 0.75, "log_loss": 0.5})
        sink.interrupted(RUN)
    reader = read(tmp_path / "tensorboard")
    assert losses(reader) == EXPECTED
    assert [event.value for event in reader.Scalars("test/accuracy.onnx-int8")] == [0.75]
    assert [event.value for event in reader.Scalars("test/log_loss.onnx-int8")] == [0.5]
    assert [node.name for node in reader.Graph().node] == ["image", "conv_0", "dense_1"]
    picture = reader.Images("augmented")[0]
    assert (picture.width, picture.height) == (12, 8)


def test_tracking_loads_no_framework(outcome: Outcome, tmp_path: Path) -> None:
    code = SETUP.replace("mlflow import MlflowSink", "tensorboard import TensorBoardSink")
    code += "sink = TensorBoardSink(folder / 'events')\nsink.epoch(run, 1, {'train_loss': 1.0})\n"
    code += "sink.failed(run, 'lost')\nsink.finished(run, outcome)\n"
    code += "print([name for name in ('tensorflow', 'torch', 'keras') if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_an_epoch_is_visible_while_the_training_runs_and_a_failure_is_explained(tmp_path: Path) -> None:
    sink = TensorBoardSink(tmp_path)
    for number in (1, 2, 2):
        sink.epoch(RUN, number, {"validation_accuracy": 0.5 + number / 10})
    sink.failed(RUN, "training diverged")
    sink.pruned(RUN)
    reader = read(tmp_path)
    assert [event.step for event in reader.Scalars("accuracy/validation")] == [1, 2]
    assert b"training diverged" in reader.Tensors("failed")[0].tensor_proto.string_val[0]
    assert b"stopped by the search" in reader.Tensors("pruned")[0].tensor_proto.string_val[0]


def test_many_epochs_told_at_once_stay_in_their_order(tmp_path: Path) -> None:
    epochs = [(number, 1 / number) for number in range(1, 31)]
    tell(tmp_path, RUN, *epochs)
    assert [step for step, _ in losses(read(tmp_path))] == [step for step, _ in epochs]


def test_a_training_that_goes_on_in_another_process_has_each_epoch_once(tmp_path: Path) -> None:
    tell(tmp_path, RUN, (1, 0.5), (2, 0.25)).interrupted(RUN)
    tell(tmp_path, RUN, (1, 0.5), (2, 0.25), (3, 0.125)).failed(RUN, "training diverged")
    assert losses(read(tmp_path)) == [(1, 0.5), (2, 0.25), (3, 0.125)]


def test_a_failure_that_is_told_again_is_there_once_and_keeps_the_epochs(tmp_path: Path) -> None:
    tell(tmp_path, RUN, (1, 0.5)).failed(RUN, "no service")
    for _ in range(2):
        tell(tmp_path, RUN).failed(RUN, "no service")
        tell(tmp_path, RUN).pruned(RUN)
    reader = read(tmp_path)
    assert losses(reader) == [(1, 0.5)]
    assert [len(reader.Tensors(tag)) for tag in ("failed", "pruned")] == [1, 1]


def test_a_training_that_begins_anew_has_nothing_of_what_went_further(tmp_path: Path) -> None:
    tell(tmp_path, RUN, (1, 0.5), (2, 0.25), (3, 0.125)).failed(RUN, "training diverged")
    tell(tmp_path, RUN, (1, 0.75))
    reader = read(tmp_path)
    assert losses(reader) == [(1, 0.75)]
    assert "failed" not in reader.Tags()["tensors"]


def test_an_epoch_that_is_trained_again_replaces_what_the_lost_attempt_had_reached(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing import plugin_event_accumulator

    attempts = [(1, 0.5), (2, 0.25), (3, 0.125), (2, 0.375)]
    tell(tmp_path, RUN, *attempts)
    reader = read(tmp_path)
    assert losses(reader) == [(1, 0.5), (2, 0.375)]
    # What TensorBoard's pages read with, as far as they do not use its data server.
    shown = plugin_event_accumulator.EventAccumulator(reader.path).Reload()
    assert [event.step for event in shown.Tensors("loss/train")] == [1, 2]


@pytest.mark.parametrize("ends", ["failed", "pruned"])
def test_another_run_of_the_same_name_has_nothing_of_the_older_one(tmp_path: Path, ends: str) -> None:
    tell(tmp_path, OTHER, (1, 9.0), (2, 9.0), (3, 9.0)).scored(OTHER, "onnx", {"accuracy": 0.25})
    sink = tell(tmp_path, RUN, (1, 0.5))
    if ends == "failed":
        sink.failed(RUN, "training diverged")
    else:
        sink.pruned(RUN)
    reader = read(tmp_path)
    assert losses(reader) == [(1, 0.5)]
    assert reader.Tags()["scalars"] == ["loss/train"]
    assert reader.Tags()["tensors"] == [ends]


def test_a_recipe_that_is_changed_and_changed_back_has_its_own_curves_each_time(
    outcome: Outcome, tmp_path: Path
) -> None:
    events = tmp_path / "tensorboard"
    tell(events, RUN).finished(RUN, outcome)
    tell(events, OTHER, (1, 9.0), (2, 9.0)).failed(OTHER, "training diverged")
    assert losses(read(events)) == [(1, 9.0), (2, 9.0)]
    tell(events, RUN).finished(RUN, outcome)
    reader = read(events)
    assert losses(reader) == EXPECTED
    assert reader.Tags()["tensors"] == []


def test_another_run_that_fails_before_its_first_epoch_shows_no_curves(outcome: Outcome, tmp_path: Path) -> None:
    events = tmp_path / "tensorboard"
    tell(events, RUN).finished(RUN, outcome)
    tell(events, OTHER).failed(OTHER, "no memory")
    reader = read(events)
    assert reader.Tags()["scalars"] == []
    assert reader.Tags()["tensors"] == ["failed"]
