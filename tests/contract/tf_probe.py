"""What only Keras and TensorFlow promise, in a process of its own: `python -m tests.contract.tf_probe`.

Prints one JSON object.
"""

import dataclasses
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

from core.prepared import Split
from core.schemas.augmentation import Augmentation
from core.schemas.recipe import AdamW, Recipe, complete
from tests.contract import networks
from tests.contract.recorder import Recorder
from trainer.framework import BuildSettings, TrainingData, get_framework
from trainer.layers import Architecture, Dense, Dropout, Flatten
from trainer.phases import Phase

IMAGES = 12
PLAIN = networks.CASES["smooth"]
"""Neither dropout nor batch norm: a step's loss tells which images it had."""
IDLE = {"name": "sgd", "learning_rate": 1e-12}
DROPLESS = Architecture("dropless", "Drops nothing, then half.", (4, 4, 1), 3,
                        (Flatten(), Dense(6), Dropout(0.0), Dense(5), Dropout(0.5), Dense(3)))  # fmt: skip
CHANGES = {
    "flip": Augmentation(flip=True),
    "flip_vertical": Augmentation(flip_vertical=True),
    "moved": Augmentation(rotate=20, zoom=0.2, shift=0.2),
    "crop": Augmentation(crop=3),
    "brightness": Augmentation(brightness=0.3),
}
COPIES = 200
SLOW_S = 0.3


def data(architecture: Architecture, number: int = IMAGES) -> TrainingData:
    """Arrays to train and to validate on."""
    split = networks.images(architecture, number, "train")
    return TrainingData(split, split, tuple(f"class {index}" for index in range(architecture.classes)))


def idiomatic(**keys: Any) -> Recipe:
    """Two epochs in the framework's own way."""
    return Recipe(**complete("idiomatic", {"epochs": 2, "batch_size": 8, **keys}))


def orders(name: str) -> list[list[float]]:
    """Each image's loss in the order in which an idle training saw the images, epoch by epoch, twice with one seed."""
    recipe = idiomatic(batch_size=1, optimizer=IDLE)
    framework, found = get_framework(name), []
    for _ in range(2):
        losses: list[float] = []
        recorder = Recorder()
        recorder.each_step = losses.append
        model = framework.build(PLAIN, networks.weights(PLAIN), networks.settings(PLAIN, recipe))
        framework.fit(model, data(PLAIN), recipe, recorder)
        found += [[round(float(loss), 5) for loss in part] for part in (losses[:IMAGES], losses[IMAGES:])]
    return found


def draws(vary: Augmentation) -> dict[str, bool]:
    """Whether one image, drawn many times, is varied alike in two epochs, and by the same seed or another one."""
    from trainer.frameworks._tf_data import batches

    image = np.array(networks.images(networks.CASES["cifar-cnn3"], 1, "draws").images[0])
    split = Split(np.stack([image] * 16), np.zeros(16, np.int64))

    def epochs(seed: int) -> list[Any]:
        dataset = batches(split, None, 16, vary, seed)
        return [next(iter(dataset))[0]["image"].numpy() for _ in range(2)]

    first, again, other = epochs(1), epochs(1), epochs(2)
    return {
        "epochs alike": bool(np.array_equal(first[0], first[1])),
        "images alike": len({one.tobytes() for one in first[0]}) == 1,
        "seed repeats": all(np.array_equal(a, b) for a, b in zip(first, again, strict=True)),
        "seeds alike": bool(np.array_equal(first[0], other[0])),
    }


def complements() -> list[int]:
    """The sums, inside shifted images, of two channels that add up to 260 before: 259 where fractions are cut off."""
    from trainer.frameworks._tf_data import batches

    ramp = np.broadcast_to(10 + 3 * np.arange(32), (32, 32))
    image = np.stack([ramp, 260 - ramp, ramp], axis=-1).astype(np.uint8)
    split = Split(np.stack([image] * 16), np.zeros(16, np.int64))
    found = next(iter(batches(split, None, 16, Augmentation(shift=0.1), 1)))[0]["image"].numpy()
    inside = found[:, 8:-8, 8:-8].astype(int)
    return sorted(set((inside[..., 0] + inside[..., 1]).ravel().tolist()))


def flips() -> list[int]:
    """How many of many copies of one image idiomatic Keras leaves, mirrors to either side, and both."""
    from trainer.frameworks._keras_data import batches

    image = np.array(networks.images(networks.CASES["cifar-cnn3"], 1, "flips").images[0])
    split = Split(np.stack([image] * COPIES), np.zeros(COPIES, np.int64))
    recipe = idiomatic(augmentation={"flip": True, "flip_vertical": True})
    varied = next(iter(batches(TrainingData(split, split, ("one",)), "train", recipe, COPIES, 1)))[0].numpy()
    variants = (image, image[:, ::-1], image[::-1], image[::-1, ::-1])
    return [sum(np.array_equal(one, variant) for one in varied) for variant in variants]


def decays(share: float) -> dict[str, float]:
    """What idiomatic AdamW takes off each variable of a layer without a gradient, as a share of rate and decay."""
    import keras

    from trainer.frameworks._keras_optimizers import make_optimizer

    recipe = idiomatic(optimizer=AdamW(learning_rate=0.1, weight_decay=0.5).model_dump())
    variables = {key: keras.Variable(np.ones(3)) for key in ("conv/kernel", "conv/bias", "dense/kernel", "dense/bias")}
    optimizer = make_optimizer(recipe, Phase(1, 2, {"conv": share, "dense": 1.0}), 1, tuple(variables))
    optimizer.build(list(variables.values()))
    optimizer.apply([np.zeros(3, np.float32)] * len(variables))
    return {key: round(float((1.0 - variable.numpy()[0]) / 0.05), 4) for key, variable in variables.items()}


def gpu_memory() -> list[str]:
    """The GPUs, invented, whose memory a training is told to take as it needs it."""
    import tensorflow as tf

    grown: list[str] = []
    gpus = mock.patch.object(tf.config, "list_physical_devices", return_value=["first", "second"])
    growth = mock.patch.object(tf.config.experimental, "set_memory_growth", lambda gpu, _: grown.append(gpu))
    for name in ("keras", "tensorflow"):
        with gpus, growth:
            get_framework(name).build(PLAIN, None, _on("cuda", idiomatic()))
    return grown


def xla() -> dict[str, list[bool]]:
    """Whether Keras compiles training and inference with XLA beside a GPU, invented, by arithmetic and device."""
    import tensorflow as tf

    from trainer.frameworks.keras import FRAMEWORK

    found = {}
    gpu = mock.patch.object(tf.config, "list_physical_devices", return_value=[SimpleNamespace(device_type="GPU")])
    for mode, device in (("matched", "cuda"), ("idiomatic", "cpu"), ("idiomatic", "cuda")):
        recipe = Recipe(**complete(mode, {"epochs": 1, "batch_size": 8}))
        model = FRAMEWORK.build(PLAIN, None, networks.settings(PLAIN, recipe))
        model = dataclasses.replace(model, settings=_on(device, recipe))
        fitted = data(PLAIN)
        with gpu, mock.patch.object(type(model.probabilities), "predict", lambda network, images, **_: images):
            trained = FRAMEWORK._compiled(model, recipe, Phase(1, 1), fitted.objective(recipe), IMAGES)
            FRAMEWORK.predict(model, fitted.train.images)
            found[f"{mode} {device}"] = [trained.jit_compile, model.probabilities.jit_compile]
    return found


def steps(mode: str) -> dict[str, Any]:
    """Keras's training with its own step and with the one that gets its batches from a thread."""
    import keras

    from trainer.frameworks.keras import FRAMEWORK, Trained

    architecture, found = networks.CASES["vector-norm"], []
    recipe = Recipe(**complete(mode, {"epochs": 2, "batch_size": 8}))
    traced: list[str] = []

    def counted(self: Any, batch: Any) -> Any:
        traced.append(mode)
        return keras.Model.train_step(self, batch)

    for make in (keras.Model.make_train_function, Trained.make_train_function):
        recorder, settings = Recorder(), networks.settings(architecture, recipe)
        model = FRAMEWORK.build(architecture, networks.weights(architecture), settings)
        traced.clear()
        with (
            mock.patch.object(Trained, "make_train_function", make),
            mock.patch.object(Trained, "train_step", counted),
        ):
            FRAMEWORK.fit(model, data(architecture), recipe, recorder)
        figures = [(one.train_loss, one.train_accuracy, one.validation_loss) for one in recorder.metrics]
        found.append((figures, FRAMEWORK.weights(model)))
    (figures, weights), (others, other_weights) = found
    return {
        "figures": figures == others,
        "weights": all(np.array_equal(weights[key], other_weights[key]) for key in weights),
        "traces": len(traced),
        "threads": [one.name for one in threading.enumerate() if one.name.startswith("ahead")],
    }


class Counted:
    """Images in a file that tell how many of them were read."""

    def __init__(self, images: Any) -> None:
        self.images, self.shape, self.read = images, images.shape, 0

    def __getitem__(self, rows: slice) -> Any:
        found = self.images[rows]
        self.read += len(found)
        return found


def stored() -> dict[str, Any]:
    """Of a split in batches of five: whether all of it comes in order, and how many images one batch has read."""
    from trainer.frameworks._tf import stored_batches

    whole = networks.images(PLAIN, 101, "stored")
    images = Counted(whole.images)
    batches = stored_batches(Split(images, whole.labels), 5)  # type: ignore[arg-type]
    next(iter(batches))
    read, parts = images.read, [(images.numpy(), labels.numpy()) for images, labels in batches]
    return {
        "read": read,
        "batches": [len(batches), len(parts), len(parts[-1][1])],
        "equal": np.array_equal(np.concatenate([part for part, _ in parts]), whole.images)
        and np.array_equal(np.concatenate([labels for _, labels in parts]), whole.labels),
    }


def slow_validation() -> list[float]:
    """Validation seconds of epochs between whose last batch and whose validation Keras is busy for SLOW_S."""
    import keras

    framework, recipe, recorder = get_framework("keras"), idiomatic(), Recorder()
    evaluate: Callable[..., Any] = keras.Model.evaluate

    def late(self: Any, *values: Any, **options: Any) -> Any:
        time.sleep(SLOW_S)
        return evaluate(self, *values, **options)

    with mock.patch.object(keras.Model, "evaluate", late):
        framework.fit(framework.build(PLAIN, None, networks.settings(PLAIN, recipe)), data(PLAIN), recipe, recorder)
    return [metrics.validation_seconds for metrics in recorder.metrics]


def dropout_of_nothing() -> list[int]:
    """The epochs of a training, resumed after its first, of a network one of whose dropouts drops nothing."""
    framework, recipe, recorder = get_framework("keras"), idiomatic(), Recorder()
    settings = networks.settings(DROPLESS, recipe)
    framework.fit(framework.build(DROPLESS, None, settings), data(DROPLESS), recipe, recorder)
    again = Recorder(recorder.states[0], 1)
    again.metrics.append(recorder.metrics[0])
    framework.fit(framework.build(DROPLESS, None, settings), data(DROPLESS), recipe, again)
    return [metrics.epoch for metrics in again.metrics]


def bare_loop() -> dict[str, Any]:
    """Of the benchmark's Keras loop: calls of Model.fit for three epochs, and whether an error of it is heard of."""
    import keras

    sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "bench_training"))
    import bare_keras
    import one_call

    split, calls = networks.images(networks.CASES["mnist-cnn"], 8, "bare"), []
    fit: Callable[..., Any] = keras.Model.fit

    def counted(self: Any, *values: Any, **options: Any) -> Any:
        calls.append(self)
        return fit(self, *values, **options)

    with mock.patch.object(keras.Model, "fit", counted):
        loop = bare_keras.epochs(split.images, split.labels, (4,), 1, 4)
        seconds = [next(loop) for _ in range(3)]
        loop.close()

    def broken(_: Any) -> None:
        raise ValueError("no such data")

    try:
        next(one_call.seconds(broken))
    except ValueError as error:
        return {"calls": len(calls), "positive": min(seconds) > 0.0, "error": str(error)}
    return {}


def _on(device: Any, recipe: Recipe) -> BuildSettings:
    return dataclasses.replace(networks.settings(PLAIN, recipe), device=device)


if __name__ == "__main__":
    answer = {
        "orders": {name: orders(name) for name in ("keras", "tensorflow")},
        "draws": {name: draws(vary) for name, vary in CHANGES.items()},
        "complements": complements(),
        "flips": flips(),
        "decays": {"alike": decays(1.0), "discriminative": decays(0.01)},
        "xla": xla(),
        "steps": {mode: steps(mode) for mode in ("matched", "idiomatic")},
        "stored": stored(),
        "validation": slow_validation(),
        "dropless": dropout_of_nothing(),
        "bare": bare_loop(),
        "memory": gpu_memory(),
    }
    print(json.dumps(answer))
