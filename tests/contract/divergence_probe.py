"""Trains one framework at rates that are far too high: `python -m tests.contract.divergence_probe FRAMEWORK FOLDER`.

In a process of its own; writes `facts.json`: by mode and rate each step's own loss, and how the training ended.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from core.errors import DivergedError
from core.schemas.recipe import Recipe, complete
from core.schemas.specs import TrainSpec
from core.worker import RunFolder
from tests.contract import networks
from tests.contract.recorder import Recorder
from trainer.framework import Callbacks, Framework, TrainingData, get_framework
from trainer.training import TrainingCallbacks

ARCHITECTURE = networks.CASES["digits-cnn"]
BATCH, STEPS, EPOCHS = 16, 30, 2
RATES = {"explodes": 1e9, "rises": 30.0, "learns": 0.01}


def examine(framework: Framework, mode: str, rate: float) -> dict[str, Any]:
    """The losses by step of a training nobody ends, and the end of the same one that is watched."""
    optimizer = {"name": "sgd", "learning_rate": rate}
    keys = {"epochs": EPOCHS, "batch_size": BATCH, "optimizer": optimizer, "schedule": {"name": "constant"}}
    recipe = Recipe.model_validate(complete(mode, keys))
    everything = Recorder()
    losses: list[float] = []
    everything.each_step = lambda loss: losses.append(float(loss))
    fit(framework, recipe, everything)
    with tempfile.TemporaryDirectory() as folder:
        spec = TrainSpec(
            experiment="e", arm="a", framework=framework.name, seed=0, architecture=ARCHITECTURE.name,
            data="0" * 64, recipe=recipe, formats=("onnx",),
        )  # fmt: skip
        try:
            fit(framework, recipe, RunFolder(Path(folder)), spec)
        except DivergedError as error:
            return {"losses": losses, "ended": str(error)}
    return {"losses": losses, "ended": "succeeded"}


def fit(framework: Framework, recipe: Recipe, watched: Callbacks | RunFolder, spec: TrainSpec | None = None) -> None:
    """Fits a fresh model."""
    settings = networks.settings(ARCHITECTURE, recipe, "float32")
    model = framework.build(ARCHITECTURE, networks.weights(ARCHITECTURE), settings)
    if isinstance(watched, RunFolder):
        assert spec is not None
        weights = lambda: framework.weights(model)  # noqa: E731
        watched = TrainingCallbacks(watched, spec, watched.path, weights, ARCHITECTURE.classes)
    data = TrainingData(
        networks.images(ARCHITECTURE, BATCH * STEPS, "train"),
        networks.images(ARCHITECTURE, BATCH, "validation"),
        tuple(f"class {index}" for index in range(ARCHITECTURE.classes)),
    )
    framework.fit(model, data, recipe, watched)


if __name__ == "__main__":
    chosen = get_framework(sys.argv[1])
    pairs = [(mode, name) for mode in networks.MODES for name in RATES]
    found = {f"{mode}/{name}": examine(chosen, mode, RATES[name]) for mode, name in pairs}
    (Path(sys.argv[2]) / "facts.json").write_text(json.dumps(found))
