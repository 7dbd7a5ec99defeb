"""Checkpoints and callbacks; training itself is the contract suite's."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from core.errors import CancelledError, DivergedError
from core.schemas.recipe import Recipe
from core.schemas.results import EpochMetrics
from core.schemas.specs import TrainSpec
from core.worker import RunFolder
from trainer import checkpoint, training
from trainer.training import TrainingCallbacks


def metrics(epoch: int, loss: float = 0.5) -> EpochMetrics:
    return EpochMetrics(
        epoch=epoch,
        train_loss=loss,
        train_accuracy=0.9,
        validation_loss=0.6,
        validation_accuracy=0.8,
        train_seconds=1.0,
        validation_seconds=0.1,
    )


@pytest.fixture
def spec() -> TrainSpec:
    return TrainSpec(
        experiment="e",
        arm="a",
        framework="keras",
        seed=0,
        architecture="mlp",
        data="0" * 64,
        recipe=Recipe(mode="matched", epochs=3),
        formats=("onnx",),
    )


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def callbacks(run: RunFolder, spec: TrainSpec) -> TrainingCallbacks:
    return TrainingCallbacks(run, spec, run.path / "checkpoints")


def events(run: RunFolder) -> list[dict[str, object]]:
    return [json.loads(line)["progress"] for line in (run.path / "events.jsonl").read_text().splitlines()]


def test_a_checkpoint_gives_back_every_bit(tmp_path: Path) -> None:
    state = {
        "weights/a": np.random.default_rng(0).random((2, 3)),
        "step": np.int64(7),
        "raw": np.arange(5, dtype=np.uint8),
    }
    checkpoint.save(tmp_path, [metrics(1), metrics(2)], state)
    found = checkpoint.load(tmp_path)
    assert found is not None
    assert found.epoch == 2
    assert found.history == (metrics(1), metrics(2))
    assert found.state.keys() == state.keys()
    assert all(
        np.array_equal(found.state[key], value) and found.state[key].dtype == value.dtype
        for key, value in state.items()
    )


def test_without_a_checkpoint_training_starts_afresh(run: RunFolder, spec: TrainSpec) -> None:
    assert checkpoint.load(run.path) is None
    fresh = callbacks(run, spec)
    assert (fresh.resume, fresh.resume_epoch, fresh.history) == (None, 0, [])


def test_the_last_epoch_is_always_checkpointed_and_a_new_attempt_goes_on_from_it(
    run: RunFolder, spec: TrainSpec
) -> None:
    first = callbacks(run, spec)
    for epoch in (1, 2, 3):
        first.epoch(metrics(epoch), lambda: {"w": np.ones(2)})
    second = callbacks(run, spec)
    assert second.resume_epoch == 3
    assert second.history == [metrics(1), metrics(2), metrics(3)]
    assert second.resume is not None
    assert second.resume["w"].tolist() == [1.0, 1.0]


def test_short_epochs_are_not_all_written(run: RunFolder, spec: TrainSpec) -> None:
    asked = []
    found = callbacks(run, spec)
    for epoch in (1, 2):
        found.epoch(metrics(epoch), lambda: asked.append("asked") or {"w": np.ones(1)})  # type: ignore[func-returns-value]
    assert asked == []


def test_long_epochs_are_each_written(run: RunFolder, spec: TrainSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_EVERY_S", 0.0)
    found = callbacks(run, spec)
    found.epoch(metrics(1), lambda: {"w": np.ones(1)})
    saved = checkpoint.load(run.path / "checkpoints")
    assert saved is not None
    assert saved.epoch == 1


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_training_with_step_and_loss(
    run: RunFolder, spec: TrainSpec, loss: float
) -> None:
    with pytest.raises(DivergedError, match=rf"loss {loss} at epoch 2, step 7 of 9; lower .*now 0.001"):
        callbacks(run, spec).step(2, 7, 9, loss)


def test_progress_counts_steps_over_all_epochs(run: RunFolder, spec: TrainSpec) -> None:
    callbacks(run, spec).step(2, 5, 10, 0.25)
    assert events(run) == [
        {"phase": "train", "done": 15, "total": 30, "unit": "steps", "values": {"epoch": 2.0, "loss": 0.25}}
    ]


def test_a_request_to_stop_is_heard_at_the_next_step(run: RunFolder, spec: TrainSpec) -> None:
    found = callbacks(run, spec)
    run.cancelled.set()
    with pytest.raises(CancelledError):
        found.step(1, 1, 10, 0.1)
