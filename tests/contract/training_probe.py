"""Trains one framework by every recipe of training_cases: `python -m tests.contract.training_probe FRAMEWORK FOLDER`.

In a process of its own; writes `arrays.npz` and `facts.json`.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.formats import get_format
from core.prepared import Split
from core.runtimes import load
from core.schemas.recipe import Recipe
from tests.contract import networks
from tests.contract import training_cases as cases
from tests.contract.recorder import Recorder
from trainer.framework import Framework, TrainingData, get_framework
from trainer.phases import phases
from trainer.weights import Weights


class TrainingProbe:
    """One framework's weights by recipe."""

    def __init__(self, framework: Framework) -> None:
        self.framework = framework
        self.arrays: dict[str, NDArray[Any]] = {}
        self.facts: dict[str, Any] = {}

    def run(self, folder: Path) -> None:
        """Everything, then writes it down."""
        for name, keys in cases.OPTIMIZERS.items():
            recipe = cases.recipe("matched", 1, keys)
            if not recipe.l2:
                self.keep(f"{name}/1", self.fit(recipe, cases.BATCH)[0])
            self.keep(f"{name}/10", self.fit(recipe, cases.LONG)[0])
        for name, keys in cases.TEN_STEPS.items():
            self.ten_steps(name, cases.recipe("matched", cases.EPOCHS, keys))
        for name, keys in (cases.IDIOMATIC | cases.FINE_TUNED).items():
            recipe = cases.recipe("idiomatic", cases.EPOCHS, keys)
            weights, whole = self.fit(recipe, cases.SHORT, "float32")
            self.keep(f"{name}/10", weights)
            self.facts[name] = {"finite": all(bool(np.isfinite(value).all()) for value in weights.values())}
            if self.framework.name in cases.EXACT and name in cases.OWN_RESUMED:
                again = (self.resumed(recipe, whole, epochs, "float32") for epochs in cases.OWN_RESUMED[name])
                self.facts[name]["resumed"] = [_equal(weights, one) for one in again]
        self.facts["rates"] = {
            f"{mode}/{name}": self.rates(mode, schedule)
            for mode in ("matched", "idiomatic")
            for name, schedule in cases.SEEN.items()
        }
        self.reduce()
        self.facts["foreign checkpoint"] = self.refuse()
        np.savez(folder / "arrays.npz", **self.arrays)  # type: ignore[arg-type]
        (folder / "facts.json").write_text(json.dumps(self.facts))

    def ten_steps(self, name: str, recipe: Recipe) -> None:
        """Five epochs of two steps; for some recipes again from the middle."""
        weights, whole = self.fit(recipe, cases.SHORT)
        self.keep(f"{name}/10", weights)
        first = phases(recipe, cases.NETWORK)[0]
        before = networks.weights(cases.NETWORK)
        self.facts[name] = {
            "losses": [metrics.train_loss for metrics in whole.metrics],
            "validation_losses": [metrics.validation_loss for metrics in whole.metrics],
            "moved": [key for key in weights if not np.array_equal(weights[key], before[key])],
            "fixed": [key for key in weights if not first.trains(key)],
        }
        if name in cases.RESUMED:
            again = (self.resumed(recipe, whole, epochs) for epochs in cases.RESUMED[name])
            self.facts[name]["resumed"] = [_equal(weights, one) for one in again]

    def resumed(self, recipe: Recipe, whole: Recorder, epochs: int, dtype: str = "float64") -> Weights:
        """The training once more, from its checkpoint after so many epochs."""
        recorder = Recorder(whole.states[epochs - 1], epochs)
        recorder.metrics.extend(whole.metrics[:epochs])
        return self.fit(recipe, cases.SHORT, dtype, recorder)[0]

    def rates(self, mode: str, schedule: dict[str, Any]) -> list[float]:
        """The learning rate of every step as a share of the recipe's, as the step moved a weight of known gradient."""
        network, rate = cases.RATED, cases.RATE
        # What comes out does not depend on how a schedule is written into a framework.
        if schedule.get("final", 0) > 1:
            rate /= schedule["final"]
        optimizer = {"name": "sgd", "learning_rate": rate, "momentum": 0.0}
        recipe = cases.recipe(mode, cases.EPOCHS, {"optimizer": optimizer, "schedule": schedule})
        zeros = {key: np.zeros(parameter.shape) for key, parameter in network.parameters.items()}
        model = self.framework.build(network, zeros, networks.settings(network, recipe, "float32"))
        recorder, places = Recorder(), [0.0]

        def record(_loss: float) -> None:
            places.append(float(self.framework.weights(model)["dense1/bias"][0]))

        recorder.each_step = record
        black = Split(np.zeros((cases.SHORT, *network.input_shape), np.uint8), np.zeros(cases.SHORT, np.int64))
        self.framework.fit(model, TrainingData(black, black, ("a", "b", "c")), recipe, recorder)
        # The gradient of the label's bias: a third minus one.
        return (np.diff(places) * 1.5 / rate).tolist()

    def reduce(self) -> None:
        """The same training in float32 and in bfloat16, and what the second model predicts and exports."""
        network, keys = cases.NETWORK, {"optimizer": cases.SGD}
        images = networks.images(network, 2 * cases.BATCH, "validation").images
        for precision in ("float32", "bfloat16"):
            recipe = cases.recipe("matched", 1, {**keys, "precision": precision})
            model, recorder = self.fitted(recipe, cases.LONG, "float32")
            weights = self.framework.weights(model)
            self.keep(f"{precision}/10", weights)
            plain = cases.recipe("matched", 1, keys)
            again = self.framework.build(network, weights, networks.settings(network, plain))
            expected, found = (self.framework.predict(each, images) for each in (again, model))
            with tempfile.TemporaryDirectory() as folder:
                self.framework.export(model, "onnx", Path(folder))
                served = load("onnx", Path(folder) / get_format("onnx").path, 1)(images)
            self.facts[precision] = {
                "loss": recorder.metrics[0].train_loss,
                "dtypes": sorted({str(value.dtype) for value in weights.values()}),
                "predicts": float(np.abs(expected - found).max()),
                "serves": float(np.abs(expected - served).max()),
            }

    def refuse(self) -> str:
        """What a checkpoint of another architecture ends in."""
        recipe = cases.recipe("matched", 2, {})
        _, recorder = self.fit(recipe, cases.SHORT)
        other = networks.CASES["vector-norm"]
        model = self.framework.build(other, networks.weights(other), networks.settings(other, recipe, "float64"))
        split = networks.images(other, cases.BATCH, "train")
        data = TrainingData(split, split, tuple(f"class {index}" for index in range(other.classes)))
        try:
            self.framework.fit(model, data, recipe, Recorder(recorder.states[0], 1))
        except InvalidInputError as error:
            return str(error)
        return "trained"

    def fit(
        self, recipe: Recipe, images: int, dtype: str = "float64", recorder: Recorder | None = None
    ) -> tuple[Weights, Recorder]:
        """Weights after a training, and what it reported."""
        model, recorder = self.fitted(recipe, images, dtype, recorder)
        return self.framework.weights(model), recorder

    def fitted(self, recipe: Recipe, images: int, dtype: str, recorder: Recorder | None = None) -> tuple[Any, Recorder]:
        """A trained model, and what its training reported."""
        network = cases.NETWORK
        model = self.framework.build(network, networks.weights(network), networks.settings(network, recipe, dtype))
        recorder = recorder or Recorder()
        data = TrainingData(
            networks.images(network, images, "train"),
            networks.images(network, 2 * cases.BATCH + 1, "validation"),
            tuple(f"class {index}" for index in range(network.classes)),
        )
        self.framework.fit(model, data, recipe, recorder)
        return model, recorder

    def keep(self, name: str, tensors: Weights) -> None:
        """Stores canonical tensors below a name."""
        self.arrays.update({f"{name}/{key}": value for key, value in tensors.items()})


def _equal(some: Weights, others: Weights) -> bool:
    return all(np.array_equal(some[key], others[key]) for key in some)


if __name__ == "__main__":
    TrainingProbe(get_framework(sys.argv[1])).run(Path(sys.argv[2]))
