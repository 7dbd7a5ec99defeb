"""A training killed at any moment ends with the weights of an uninterrupted one, bit for bit, on two threads.

In matched mode, on the same machine and with the same number of threads.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from bakeoff.run.v1 import run_pb2
from PIL import Image

from core.schemas.data import DigitsSource, FolderSource, ImageSpec, Source
from core.schemas.recipe import Recipe, complete
from core.schemas.results import TrainResult
from core.schemas.specs import OriginalsSpec, TrainSpec
from services.client.control import TrainerClient
from tests.contract.conftest import LIBRARIES
from tests.system.killed_worker import EPOCHS
from tests.system.trainer_process import prepare, trainer, training

pytestmark = pytest.mark.system
TIMES = {"train_seconds", "validation_seconds", "data_seconds"}
WHOLE = "uninterrupted"
# Large batches of small images: work enough for a second thread, few steps.
RECIPE = Recipe(mode="matched", epochs=EPOCHS + 2, batch_size=128)


class Trainings:
    """One framework's trainings of the same recipe, the uninterrupted one done."""

    def __init__(self, client: TrainerClient, home: Path, framework: str, source: Source, recipe: Recipe) -> None:
        self._client, self._home = client, home
        prepared = prepare(client, "images", source, ImageSpec(height=8, width=8, color="grey"))
        assert prepared.state == run_pb2.RUN_STATE_SUCCEEDED, prepared.error
        own = recipe.pipeline == "framework"
        self._changes = {
            "framework": framework,
            "recipe": recipe,
            "originals": OriginalsSpec(source=source, digest=client.inspect(source).digest) if own else None,
        }
        self._data = json.loads(prepared.result_json)["fingerprint"]
        assert self.run(WHOLE).attempts == 1

    def run(self, name: str) -> run_pb2.Run:
        self._client.create(name, self._spec(name))
        run = self._client.finish(name, lambda event: None)
        assert run.state == run_pb2.RUN_STATE_SUCCEEDED, run.error
        return run

    def resumed_epochs(self, name: str) -> set[int]:
        """The epochs that the last attempt trained."""
        found: set[int] = set()
        for event in self._client.watch(name):
            if event.state_change.state == run_pb2.RUN_STATE_RUNNING:
                found.clear()
            elif event.progress.phase == "train":
                found.add(int(event.progress.values["epoch"]))
        return found

    def state(self, name: str) -> dict[str, Any]:
        """Weights and optimiser after the last epoch."""
        with np.load(self._home / f"runs/{name}/checkpoints/checkpoint.npz") as kept:
            return {key: kept[key] for key in kept.files if key.startswith("state/")}

    def curves(self, name: str) -> list[dict[str, Any]]:
        """What was measured after each epoch, without times."""
        result = TrainResult.model_validate_json((self._home / f"runs/{name}/result.json").read_bytes())
        return [epoch.model_dump(exclude=TIMES) for epoch in result.history]

    def exported(self, name: str) -> list[bytes]:
        """The weights in the published model, sorted. Everything else in it varies: tf2onnx names constants anyhow."""
        model = onnx.load(self._home / "models" / self._spec(name).model_name("onnx") / "1/model.onnx")
        tensors = [tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT]
        return sorted(onnx.numpy_helper.to_array(tensor).tobytes() for tensor in tensors)

    def _spec(self, name: str) -> TrainSpec:
        return training(self._data, arm=name, **self._changes)


@contextmanager
def killed_trainer(home: Path, framework: str) -> Iterator[TrainerClient]:
    if find_spec(LIBRARIES[framework]) is None:
        pytest.skip(f"{LIBRARIES[framework]} is not installed: pip install 'bakeoff[{framework}]'")
    with trainer(home, framework, threads=2, module="tests.system.killed_worker") as client:
        yield client


@pytest.fixture(scope="module", params=LIBRARIES)
def trainings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainings]:
    home = tmp_path_factory.mktemp(f"killed-{request.param}")
    with killed_trainer(home, request.param) as client:
        yield Trainings(client, home, request.param, DigitsSource(), RECIPE)


@pytest.fixture(scope="module")
def own_trainings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainings]:
    """On files, in fastai's own pipeline, whose loader has a process for each thread."""
    home = tmp_path_factory.mktemp("decoders")
    draw = np.random.default_rng(0)
    for label in range(10):
        (home / f"images/{label}").mkdir(parents=True)
        for number in range(40):
            pixels = draw.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(home / f"images/{label}/{number}.png")
    written = {"epochs": EPOCHS + 2, "batch_size": 32, "augmentation": {"crop": 2, "flip": True}}
    recipe = Recipe(**complete("idiomatic", written))
    with killed_trainer(home, "fastai") as client:
        yield Trainings(client, home, "fastai", FolderSource(path=str(home / "images")), recipe)


@pytest.mark.parametrize(
    ("moment", "resumed"),
    [("in-an-epoch", {EPOCHS + 1, EPOCHS + 2}), ("in-the-export", set())],
    ids=["in an epoch", "in the export"],
)
def test_a_killed_training_goes_on_and_ends_with_the_weights_of_an_uninterrupted_one(
    trainings: Trainings, moment: str, resumed: set[int]
) -> None:
    assert trainings.run(moment).attempts == 2
    assert trainings.resumed_epochs(moment) == resumed
    expected, found = trainings.state(WHOLE), trainings.state(moment)
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        assert np.array_equal(value, found[key]), key
    assert trainings.exported(moment) == trainings.exported(WHOLE)
    assert trainings.curves(moment) == trainings.curves(WHOLE)


@pytest.mark.parametrize("moment", ["in-an-epoch", "of-a-decoder"])
def test_a_training_on_originals_goes_on_too_whichever_of_its_processes_was_killed(
    own_trainings: Trainings, moment: str
) -> None:
    run = own_trainings.run(moment)
    assert run.attempts == 2
    assert own_trainings.resumed_epochs(moment) == {EPOCHS + 1, EPOCHS + 2}
    assert own_trainings.exported(moment) == own_trainings.exported(WHOLE)
    assert own_trainings.curves(moment) == own_trainings.curves(WHOLE)
