"""Puts one framework through every case and writes down what it computed; the tests compare.

`python -m tests.contract.probe FRAMEWORK FOLDER TORCHVISION` runs in a process of its own, because one process holds
one framework family. TORCHVISION is the folder of tests.contract.torchvision_models. It writes `arrays.npz`,
`facts.json` and the exported files below `<case>/`.
"""

import json
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import CancelledError, InvalidInputError
from core.formats import get_format
from core.prepared import Split
from core.runtimes import load
from core.schemas.names import FRAMEWORKS
from core.schemas.recipe import Pretrained, Recipe, complete
from tests.contract import networks, own_pipeline, rate_search
from tests.contract.recorder import Recorder
from trainer import weight_files
from trainer.batches import matched_batches
from trainer.framework import Framework, State, TrainingData, get_framework
from trainer.layers import Architecture
from trainer.weights import Weights

PREDICTED = 300
"""More than predict's largest batch."""
BATCHES = (1, 2, 5, 64)


class Probe:
    """One framework's answers: `arrays` by name, `facts` as JSON."""

    def __init__(self, framework: Framework, folder: Path, torchvision: Path) -> None:
        self.framework, self.folder, self.torchvision = framework, folder, torchvision
        self.arrays: dict[str, NDArray[Any]] = {}
        self.facts: dict[str, Any] = {"formats": list(framework.formats)}

    def run(self) -> None:
        """Everything, then writes it down."""
        for name, architecture in networks.CASES.items():
            for dtype in ("float64", "float32"):
                self.inspect(f"{name}/{dtype}", architecture, dtype)
            self.train(name, architecture)
            self.export(name, architecture)
        for name, architecture in networks.FULL.items():
            self.inspect(f"{name}/float64", architecture, "float64")
        for name, optimizer in networks.STEPPED:
            self.step(name, (networks.CASES | networks.FULL)[name], optimizer)
        if (self.torchvision / "logits.npz").is_file():
            for name, architecture in networks.TORCHVISION.items():
                if self.framework.name in networks.LOADED_BY.get(name, FRAMEWORKS):
                    self.load_torchvision(name, architecture)
        self.serve()
        self.initialise()
        self.resume()
        for mode in networks.MODES:
            self.facts[f"stopped/{mode}"] = self.stop(mode)
        self.refuse()
        self.learn()
        own_pipeline.examine(self.framework, self.folder, self.arrays, self.facts)
        rate_search.examine(self.framework, self.folder, self.facts)
        np.savez(self.folder / "arrays.npz", **self.arrays)  # type: ignore[arg-type]
        (self.folder / "facts.json").write_text(json.dumps(self.facts))

    def inspect(self, name: str, architecture: Architecture, dtype: str) -> None:
        """Logits, loss, gradients and counts of one matched batch, and whether the weights came back as given."""
        recipe, given = networks.matched(), networks.weights(architecture)
        model = self.framework.build(architecture, given, networks.settings(architecture, recipe, dtype))
        split = networks.images(architecture, networks.BATCH, "inspect")
        seen = self.framework.inspect(model, next(matched_batches(split, architecture, 3, 1, networks.BATCH)))
        self.arrays[f"{name}/logits"] = seen.logits
        self.keep(f"{name}/gradients", seen.gradients)
        self.facts[name] = {
            "loss": seen.loss,
            "counts": [seen.parameters, seen.trainable_parameters],
            "round_trip": _equal(self.framework.weights(model), {k: v.astype(dtype) for k, v in given.items()}),
        }

    def load_torchvision(self, name: str, architecture: Architecture) -> None:
        """What a network with torchvision's weights computes, in training mode only where it drops nothing."""
        recipe = networks.matched()
        settings = networks.settings(architecture, recipe)
        files = {suffix: str(self.torchvision / f"{name}{suffix}") for suffix in (".safetensors", ".pth")}
        weights = weight_files.load(Pretrained(weights=files[".safetensors"], head="keep"), architecture)
        if name == networks.FROM_PTH:
            same = weight_files.load(Pretrained(weights=files[".pth"], head="keep"), architecture)
            self.facts["same_from_pth"] = _equal(weights, same)
        model = self.framework.build(architecture, weights, settings)
        split = networks.images(architecture, networks.TORCHVISION_IMAGES, "inspect")
        self.arrays[f"{name}/inference"] = self.framework.predict(model, split.images)
        if not architecture.dropouts:
            batch = next(matched_batches(split, architecture, 3, 1, networks.TORCHVISION_IMAGES))
            self.arrays[f"{name}/training"] = self.framework.inspect(model, batch).logits

    def train(self, name: str, architecture: Architecture) -> None:
        """One matched epoch of several batches, the last of them partial."""
        recipe = networks.matched()
        settings = networks.settings(architecture, recipe, "float64")
        model = self.framework.build(architecture, networks.weights(architecture), settings)
        recorder = Recorder()
        split = networks.images(architecture, networks.EPOCH_IMAGES, "train")
        self.framework.fit(model, _data(architecture, split), recipe, recorder)
        self.keep(f"{name}/epoch", self.framework.weights(model))
        self.facts[f"{name}/epoch"] = {
            "metrics": [m.model_dump() for m in recorder.metrics],
            "last_step": recorder.steps[-1],
        }

    def step(self, name: str, architecture: Architecture, optimizer: str) -> None:
        """Float64 weights after one and after ten matched steps: ten epochs of one batch, looked at on the way."""
        recipe = networks.matched(optimizer, epochs=max(networks.STEPS))
        settings = networks.settings(architecture, recipe, "float64")
        model = self.framework.build(architecture, networks.weights(architecture), settings)

        def keep(epoch: int) -> None:
            if epoch in networks.STEPS:
                self.keep(f"{name}/{optimizer}/{epoch}", self.framework.weights(model))

        split = networks.images(architecture, networks.BATCH, "train")
        validation = networks.images(architecture, 2, "validation")
        self.framework.fit(model, TrainingData(split, validation, _classes(architecture)), recipe, Recorder(watch=keep))

    def export(self, name: str, architecture: Architecture) -> None:
        """Every format, loaded again by its runtime, against the model in memory."""
        settings = networks.settings(architecture, networks.matched())
        model = self.framework.build(architecture, networks.weights(architecture), settings)
        split = networks.images(architecture, PREDICTED, "predict")
        expected = self.framework.predict(model, split.images)
        self.arrays[f"{name}/predicted"] = expected
        self.arrays[f"{name}/nothing"] = self.framework.predict(model, split.images[:0])
        folder = self.folder / name
        folder.mkdir()
        for format_name in self.framework.formats:
            self.framework.export(model, format_name, folder)
            predict = load(format_name, folder / get_format(format_name).path, 1)
            for number in BATCHES:
                self.arrays[f"{name}/{format_name}/{number}"] = predict(split.images[:number])
        # Exporting must leave the model as it was.
        self.facts[f"{name}/unchanged"] = bool(np.array_equal(self.framework.predict(model, split.images), expected))

    def serve(self) -> None:
        """Each format called from several threads at once, and what loading half of it says."""
        architecture = networks.CASES["digits-cnn"]
        split = networks.images(architecture, PREDICTED, "predict")
        chunks = [split.images[start : start + 16] for start in range(0, PREDICTED, 16)]
        for format_name in self.framework.formats:
            path = self.folder / "digits-cnn" / get_format(format_name).path
            predict = load(format_name, path, 1)
            with ThreadPoolExecutor(max_workers=4) as pool:
                self.arrays[f"threads/{format_name}"] = np.concatenate(list(pool.map(predict, chunks)))
            try:
                load(format_name, _halved(path, self.folder / "halved"), 1)
            except InvalidInputError as error:
                self.facts[f"halved/{format_name}"] = str(error)

    def initialise(self) -> None:
        """The framework's own initialisers, by seed."""
        architecture = networks.CASES["digits-cnn"]
        recipe = Recipe(**complete("idiomatic", {"epochs": 1}))
        settings = [networks.settings(architecture, recipe, seed=seed) for seed in (1, 1, 2)]
        drawn = [self.framework.weights(self.framework.build(architecture, None, one)) for one in settings]
        self.facts["initialisers"] = {
            "same_seed": _equal(drawn[0], drawn[1]),
            "other_seed": _equal(drawn[0], drawn[2]),
            "dead": [key for key, value in drawn[0].items() if key.endswith("kernel") and not value.std() > 0],
        }

    def resume(self) -> None:
        """Two augmented epochs, and the second one again from the first one's checkpoint, stored and read back."""
        architecture = networks.CASES["digits-cnn"]
        recipe = networks.matched(epochs=2).model_copy(update={"augmentation": networks.AUGMENTATION})
        data = _data(architecture, networks.images(architecture, 60, "train"))
        ends: list[tuple[Weights, list[int]]] = []
        states: list[State] = []
        for resumed in (False, True):
            model = self.framework.build(
                architecture, networks.weights(architecture), networks.settings(architecture, recipe)
            )
            recorder = Recorder(_stored(states[0]), 1) if resumed else Recorder()
            self.framework.fit(model, data, recipe, recorder)
            states = states or recorder.states
            ends.append((self.framework.weights(model), [m.epoch for m in recorder.metrics]))
        self.facts["resumed"] = {"equal": _equal(ends[0][0], ends[1][0]), "epochs": ends[1][1]}

    def stop(self, mode: str) -> dict[str, Any]:
        """Three epochs of a training, the same told to end after one, and the weights of the first epoch put back."""
        architecture = networks.CASES["vector-norm"]
        recipe = Recipe(**complete(mode, {"epochs": 3, "batch_size": networks.BATCH}))
        settings = networks.settings(architecture, recipe)
        whole, ended = (self.framework.build(architecture, networks.weights(architecture), settings) for _ in range(2))
        data = _data(architecture, networks.images(architecture, 60, "train"))
        kept: list[Weights] = []
        everything = Recorder(watch=lambda epoch: kept.append(self.framework.weights(whole)))
        self.framework.fit(whole, data, recipe, everything)
        first = Recorder(stop_after=1)
        self.framework.fit(ended, data, recipe, first)
        images = data.validation.images
        expected, later = (self.framework.predict(model, images) for model in (ended, whole))
        self.framework.assign(whole, kept[0])
        found = {
            "epochs": [metrics.epoch for metrics in first.metrics],
            "validation_losses": [metrics.validation_loss for metrics in (first.metrics[0], everything.metrics[0])],
            "left": _equal(self.framework.weights(ended), kept[0]),
            "assigned": _equal(self.framework.weights(whole), kept[0]),
            "later": float(np.abs(later - expected).max()),
            "gap": float(np.abs(self.framework.predict(whole, images) - expected).max()),
        }
        if recipe.pipeline == "shared":
            self.framework.fit(ended, data, recipe, Recorder(first.states[0], 1))
            found["resumed"] = _equal(self.framework.weights(ended), kept[-1])
        return found

    def refuse(self) -> None:
        """What a cancelled training and wrong weights end in."""
        architecture, recipe = networks.CASES["digits-cnn"], networks.matched(epochs=2)
        model = self.framework.build(
            architecture, networks.weights(architecture), networks.settings(architecture, recipe)
        )
        for pipeline in ("shared", "framework"):
            self.facts[f"cancelled/{pipeline}"] = self._cancelled(
                model, recipe.model_copy(update={"pipeline": pipeline})
            )
        wrong = {**networks.weights(architecture), "dense1/kernel": np.zeros((3, 2))}
        try:
            self.framework.build(architecture, wrong, networks.settings(architecture, recipe))
        except InvalidInputError as error:
            self.facts["wrong_weights"] = str(error)

    def _cancelled(self, model: Any, recipe: Recipe) -> str:
        architecture = networks.CASES["digits-cnn"]
        try:
            self.framework.fit(
                model, _data(architecture, networks.images(architecture, 60, "train")), recipe, Recorder(cancel=True)
            )
        except CancelledError as error:
            return str(error)
        return "not cancelled"

    def learn(self) -> None:
        """The idiomatic recipe on scikit-learn's digits."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        pixels, labels = (digits.images * 15.9375).astype(np.uint8)[..., None], digits.target.astype(np.int64)
        data = TrainingData(
            Split(pixels[:1400], labels[:1400]), Split(pixels[1400:], labels[1400:]), tuple("0123456789")
        )
        architecture = networks.CASES["digits-cnn"]
        recipe = Recipe(**complete("idiomatic", {"epochs": networks.EPOCHS_TO_LEARN, "batch_size": 32}))
        model = self.framework.build(architecture, None, networks.settings(architecture, recipe))
        recorder = Recorder()
        self.framework.fit(model, data, recipe, recorder)
        predicted = self.framework.predict(model, pixels[1400:]).argmax(axis=1)
        self.facts["learned"] = {
            "accuracy": float((predicted == labels[1400:]).mean()),
            "metrics": [m.model_dump() for m in recorder.metrics],
        }
        with tempfile.TemporaryDirectory() as folder:
            self.framework.extras(model, Path(folder))
            self.facts["extras"] = sorted(path.name for path in Path(folder).iterdir())

    def keep(self, name: str, tensors: Weights) -> None:
        """Stores canonical tensors below a name."""
        self.arrays.update({f"{name}/{key}": value for key, value in tensors.items()})


def _data(architecture: Architecture, train: Split) -> TrainingData:
    validation = networks.images(architecture, 2 * networks.BATCH + 1, "validation")
    return TrainingData(train, validation, _classes(architecture))


def _classes(architecture: Architecture) -> tuple[str, ...]:
    return tuple(f"class {i}" for i in range(architecture.classes))


def _equal(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def _halved(path: Path, folder: Path) -> Path:
    """A copy of an artefact whose graph ends in the middle."""
    copy = folder / path.name
    if path.is_dir():
        shutil.copytree(path, copy)
        graph = copy / "saved_model.pb"
    else:
        folder.mkdir(exist_ok=True)
        graph = copy
        shutil.copy(path, copy)
    graph.write_bytes(graph.read_bytes()[: graph.stat().st_size // 2])
    return copy


def _stored(state: State) -> State:
    """What is left of a state after a file that holds plain arrays only."""
    with tempfile.TemporaryFile() as file:
        np.savez(file, **state)  # type: ignore[arg-type]
        file.seek(0)
        with np.load(file, allow_pickle=False) as stored:
            return dict(stored)


if __name__ == "__main__":
    Probe(get_framework(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])).run()
