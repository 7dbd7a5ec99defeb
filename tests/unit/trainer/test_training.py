"""Checkpoints and callbacks; training itself is the contract suite's."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from core.errors import CancelledError, DivergedError, InvalidInputError, NotFoundError
from core.schemas.data import PreparedManifest
from core.schemas.metrics import EpochMetrics
from core.schemas.recipe import Recipe
from core.schemas.specs import FindRateSpec, TrainSpec
from core.worker import RunFolder
from trainer import checkpoint, training, weight_files
from trainer.architectures import get_architecture
from trainer.framework import BuildSettings
from trainer.layers import Architecture
from trainer.training import TrainingCallbacks
from trainer.weights import Weights, initial_weights


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
    return TrainingCallbacks(run, spec, run.path / "checkpoints", lambda: {"w": np.ones(1)}, 2)


def events(run: RunFolder) -> list[dict[str, object]]:
    return [json.loads(line)["progress"] for line in (run.path / "events.jsonl").read_text().splitlines()]


def test_a_checkpoint_gives_back_every_bit(tmp_path: Path) -> None:
    state = {
        "weights/a": np.random.default_rng(0).random((2, 3)),
        "step": np.int64(7),
        "raw": np.arange(5, dtype=np.uint8),
    }
    checkpoint.save(tmp_path, "mlp", [metrics(1), metrics(2)], state)
    found = checkpoint.load(tmp_path, "mlp")
    assert found is not None
    assert found.epoch == 2
    assert found.history == (metrics(1), metrics(2))
    assert found.state.keys() == state.keys()
    assert all(
        np.array_equal(found.state[key], value) and found.state[key].dtype == value.dtype
        for key, value in state.items()
    )


def test_a_checkpoint_of_another_architecture_is_refused_before_training(run: RunFolder, spec: TrainSpec) -> None:
    first = callbacks(run, spec)
    for epoch in (1, 2, 3):
        first.epoch(metrics(epoch), lambda: {"w": np.ones(2)})
    with pytest.raises(InvalidInputError, match=r"another training: mlp with keras.*, not asl-cnn with keras"):
        callbacks(run, changed(spec, "asl-cnn"))


@pytest.mark.parametrize("kept", [0, 10, 300])
def test_a_damaged_checkpoint_is_named(run: RunFolder, spec: TrainSpec, kept: int) -> None:
    checkpoint.save(run.path, "mlp", [metrics(1)], {"w": np.ones(200)})
    path = run.path / checkpoint.NAME
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InvalidInputError, match=r"checkpoint\.npz is damaged .*remove it"):
        checkpoint.load(run.path, "mlp")


def test_without_a_checkpoint_training_starts_afresh(run: RunFolder, spec: TrainSpec) -> None:
    assert checkpoint.load(run.path, "mlp") is None
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


def test_short_epochs_are_not_all_written(run: RunFolder, spec: TrainSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_EVERY_S", 600.0)
    asked = []
    found = callbacks(run, spec)
    for epoch in (1, 2):
        found.epoch(metrics(epoch), lambda: asked.append("asked") or {"w": np.ones(1)})  # type: ignore[func-returns-value]
    assert asked == []


def test_long_epochs_are_each_written(run: RunFolder, spec: TrainSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_EVERY_S", 0.0)
    found = callbacks(run, spec)
    found.epoch(metrics(1), lambda: {"w": np.ones(1)})
    saved = checkpoint.load(run.path / "checkpoints", "mlp with keras, adam, matched")
    assert saved is not None
    assert saved.epoch == 1


def test_a_training_stops_after_its_patience_and_is_still_stopped_when_it_is_resumed(
    run: RunFolder, spec: TrainSpec
) -> None:
    patient = changed(spec, "mlp", epochs=9, early_stopping={"patience": 2})
    first = callbacks(run, patient)
    for epoch in (1, 2, 3):
        assert not first.stopped
        first.epoch(metrics(epoch), lambda: {"w": np.ones(2)})
    assert first.stopped
    again = callbacks(run, patient)
    assert (again.stopped, again.resume_epoch) == (True, 3)


def test_a_stage_before_the_last_is_never_stopped_early_and_the_last_counts_from_its_own_first_epoch(
    run: RunFolder, spec: TrainSpec
) -> None:
    stages = {"until": "dense2", "epochs": 4}
    patient = changed(spec, "mlp", epochs=9, early_stopping={"patience": 2}, freeze=stages)
    found = callbacks(run, patient)
    stopped = []
    for epoch in range(1, 8):
        found.epoch(metrics(epoch), lambda: {"w": np.ones(2)})
        stopped.append(found.stopped)
    assert stopped == [False] * 6 + [True]


def test_the_best_epochs_weights_are_kept_across_a_resumption(run: RunFolder, spec: TrainSpec) -> None:
    best = changed(spec, "mlp", epochs=3, keep_best="validation_loss")
    now = {"w": np.zeros(1)}
    folder = run.path / "checkpoints"
    first = TrainingCallbacks(run, best, folder, lambda: {key: v.copy() for key, v in now.items()}, 2)
    for epoch, loss in enumerate((0.5, 0.3, 0.4), 1):
        now["w"] += 1
        first.epoch(metrics(epoch).model_copy(update={"validation_loss": loss}), lambda: {"w": np.ones(2)})
    again = callbacks(run, best)
    assert again.best is not None
    assert again.best["w"].tolist() == [2.0]


def test_without_asking_no_best_weights_are_kept(run: RunFolder, spec: TrainSpec) -> None:
    found = callbacks(run, spec)
    for epoch in (1, 2, 3):
        found.epoch(metrics(epoch), lambda: {"w": np.ones(2)})
    assert (found.best, callbacks(run, spec).best) == (None, None)


def test_a_recipe_that_does_not_go_with_data_and_network_is_refused(spec: TrainSpec) -> None:
    for keys, message in (
        ({"class_weights": {"dog": 2.0}}, "class_weights names 'dog'; the classes are c0, c1"),
        ({"freeze": {"until": "conv9", "epochs": 1}}, "'conv9' is no layer of mlp's trunk"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            training.check_training(changed(spec, "mlp", **keys), manifest(classes=2))


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_training_with_step_and_loss(
    run: RunFolder, spec: TrainSpec, loss: float
) -> None:
    with pytest.raises(DivergedError, match=rf"loss {loss} at epoch 2, step 7 of 9; lower .*now 0.001"):
        callbacks(run, spec).step(2, 7, 9, loss)


def test_a_resumed_training_still_knows_the_loss_it_began_with(run: RunFolder, spec: TrainSpec) -> None:
    first = callbacks(run, spec)
    first.step(1, 1, 9, 50.0)
    for epoch in (1, 2, 3):
        first.epoch(metrics(epoch, loss=40_000.0), lambda: {"w": np.ones(2)})
    callbacks(run, spec).epoch(metrics(4, loss=50_000.0), lambda: {"w": np.ones(2)})
    with pytest.raises(DivergedError, match="more than 1000 times the 50 it began with"):
        callbacks(run, spec).epoch(metrics(4, loss=50_001.0), lambda: {"w": np.ones(2)})


def test_an_epochs_progress_holds_numbers_only_for_it_travels_as_a_map_of_doubles(
    run: RunFolder, spec: TrainSpec
) -> None:
    callbacks(run, spec).epoch(metrics(1), lambda: {"w": np.ones(1)})
    (told,) = events(run)
    assert isinstance(told["values"], dict)
    assert {type(value) for value in told["values"].values()} <= {int, float}


def test_progress_counts_steps_over_all_epochs(run: RunFolder, spec: TrainSpec) -> None:
    callbacks(run, spec).step(2, 5, 10, 0.25)
    assert events(run) == [
        {"phase": "train", "done": 15, "total": 30, "unit": "steps", "values": {"epoch": 2.0, "loss": 0.25}}
    ]


def test_steps_do_not_keep_an_epoch_from_being_told(
    run: RunFolder, spec: TrainSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.worker.PROGRESS_EVERY_S", 60.0)
    found = callbacks(run, spec)
    for epoch in (1, 2, 3):
        found.step(epoch, 10, 10, 0.25)
        found.epoch(metrics(epoch), lambda: {"w": np.ones(1)})
    told = [(one["unit"], one["done"]) for one in events(run)]
    assert told == [("steps", 10), ("epochs", 1), ("steps", 30), ("epochs", 3)], "the last ones however early"


def test_a_request_to_stop_is_heard_at_the_next_step(run: RunFolder, spec: TrainSpec) -> None:
    found = callbacks(run, spec)
    run.cancelled.set()
    with pytest.raises(CancelledError):
        found.step(1, 1, 10, 0.1)


def manifest(classes: int = 29, images: int = 64, size: int = 64, color: str = "rgb") -> PreparedManifest:
    names = tuple(f"c{i}" for i in range(classes))
    return PreparedManifest.model_validate(
        {
            "spec": {"source": {"kind": "digits"}, "image": {"height": size, "width": size, "color": color}},
            "source_digest": "d", "classes": names, "counts": {"train": {"c0": images}}, "mean": (0.5,), "std": (0.1,),
            "decoder": {}, "golden_indices": (), "sha256": {},
        }
    )  # fmt: skip


def changed(spec: TrainSpec, architecture: str, **recipe: object) -> TrainSpec:
    given = Recipe.model_validate({**spec.recipe.model_dump(), **recipe})
    return spec.model_copy(update={"architecture": architecture, "recipe": given})


@pytest.mark.parametrize(("images", "batch_size"), [(65, 64), (1, 64), (3, 2), (7, 1)])
def test_a_last_batch_of_one_is_refused_where_a_norm_sees_one_value_per_image(
    spec: TrainSpec, images: int, batch_size: int
) -> None:
    small = manifest(images=images, size=32)
    with pytest.raises(InvalidInputError, match=r"batch of one, of which asl-strided's batchnorm5 cannot"):
        training.check_training(changed(spec, "asl-strided", batch_size=batch_size), small)
    training.check_training(changed(spec, "asl-strided", batch_size=batch_size), manifest(images=images))
    training.check_training(changed(spec, "mlp", batch_size=batch_size), small)


def test_a_last_batch_of_one_that_no_step_sees_is_not_refused(spec: TrainSpec) -> None:
    small = manifest(images=65, size=32)
    own = {"framework": "fastai", "recipe": Recipe(mode="idiomatic", pipeline="framework", epochs=1, batch_size=64)}
    training.check_training(spec.model_copy(update={**own, "architecture": "asl-strided"}), small)
    shared = Recipe(mode="matched", epochs=1, batch_size=64)
    search = FindRateSpec(framework="keras", seed=0, architecture="asl-strided", data="0" * 64, recipe=shared)
    training.check_training(search, small)


def test_imagenet_normalisation_needs_colour(spec: TrainSpec) -> None:
    with pytest.raises(InvalidInputError, match="imagenet needs colour images"):
        training.check_training(changed(spec, "mlp", normalization="imagenet"), manifest(color="grey"))
    training.check_training(changed(spec, "mlp", normalization="imagenet"), manifest())


def test_a_brightness_that_fastai_cannot_draw_is_refused_for_its_own_pipeline_alone(spec: TrainSpec) -> None:
    def check(framework: str, **recipe: object) -> None:
        arm = changed(spec, "mlp", **recipe).model_copy(update={"framework": framework})
        training.check_training(arm, manifest())

    with pytest.raises(InvalidInputError, match="brightness 1 is no figure for fastai's own pipeline"):
        check("fastai", pipeline="framework", augmentation={"brightness": 1})
    check("fastai", pipeline="framework", augmentation={"brightness": 0.99})
    check("fastai", pipeline="shared", augmentation={"brightness": 1})
    check("pytorch", pipeline="framework", augmentation={"brightness": 1})


def test_pretrained_weights_are_looked_at_before_training(spec: TrainSpec, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="weights unavailable: no file"):
        training.check_training(changed(spec, "resnet18", pretrained=str(tmp_path / "w.pth")), manifest())
    with pytest.raises(InvalidInputError, match="no pretrained weights for mlp"):
        training.check_training(changed(spec, "mlp", pretrained=str(tmp_path / "w.pth")), manifest())


class OwnInitialisers:
    """A framework whose own initialisers give sevens."""

    def build(self, architecture: Architecture, weights: Weights | None, settings: BuildSettings) -> Weights:
        assert weights is None
        return {key: np.full(parameter.shape, 7.0) for key, parameter in architecture.parameters.items()}

    def weights(self, model: Weights) -> Weights:
        return model


@pytest.mark.parametrize("initializer", ["shared", "framework"])
def test_a_new_head_is_the_initialisers_and_the_rest_the_files(
    spec: TrainSpec, monkeypatch: pytest.MonkeyPatch, initializer: str
) -> None:
    network = get_architecture("resnet18", (64, 64, 3), 29)
    given = {key: np.full(p.shape, 3.0) for key, p in network.parameters.items() if not key.startswith("dense1/")}
    monkeypatch.setattr(weight_files, "load", lambda pretrained, architecture: given)
    recipe = changed(spec, "resnet18", pretrained="w.pth", initializer=initializer).recipe
    settings = BuildSettings(recipe, 5, (0.0,) * 3, (1.0,) * 3)
    weights = training.starting_weights(OwnInitialisers(), network, settings)  # type: ignore[arg-type]
    assert weights is not None
    assert weights.keys() == network.parameters.keys()
    assert all((weights[key] == 3.0).all() for key in given)
    fresh = initial_weights(network, 5)["dense1/kernel"] if initializer == "shared" else np.full((512, 29), 7.0)
    np.testing.assert_array_equal(weights["dense1/kernel"], fresh)
