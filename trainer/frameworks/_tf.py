"""What the TensorFlow and the Keras file share: set-up, matched batches as tf.data, progress, ONNX."""

import logging
from collections.abc import Callable, Iterator
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BakeoffError
from core.prepared import Split
from core.runtimes._tensorflow import import_tensorflow
from core.schemas.recipe import Recipe
from trainer.batches import Batch, matched_batches, steps_per_epoch
from trainer.framework import Callbacks
from trainer.frameworks._onnx import INPUT, OUTPUT, read_facts
from trainer.layers import Architecture

tf = import_tensorflow()

OPSET = 17
"""The newest that leaves one Transpose behind the convolutions; 18 leaves two."""
TRANSPOSES = 2
"""One at the input, one before the dense layers."""
PREDICT_BATCH = 256
REPORT_SECONDS = 0.2
Inputs = tuple[dict[str, Any], Any]
"""({"image": uint8 [n, height, width, channels], dropout path: uint8 mask …}, labels int64 [n])."""


def has_cuda() -> bool:
    """Whether TensorFlow finds a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


def input_spec(architecture: Architecture) -> Any:
    """The contract's input: `image`, uint8, dynamic batch."""
    return tf.TensorSpec([None, *architecture.input_shape], tf.uint8, name="image")


def batch_spec(architecture: Architecture, masks: bool) -> Any:
    """Signature of one training step's `Inputs`, with the dropout masks or without."""
    specs = {"image": input_spec(architecture)}
    if masks:
        specs |= {node.path: tf.TensorSpec([None, *node.output_shape], tf.uint8) for node in architecture.dropouts}
    return specs, tf.TensorSpec([None], tf.int64)


def inputs_of(batch: Batch) -> Inputs:
    """A matched batch in the form the training steps take."""
    return {"image": batch.images, **batch.masks}, batch.labels


def matched_inputs(
    split: Split, architecture: Architecture, seed: int, recipe: Recipe, epochs: range
) -> Iterator[Inputs]:
    """The matched batches of the epochs (from 1) one after the other."""
    for epoch in epochs:
        keys = (seed, epoch, recipe.batch, recipe.augmentation, recipe.sampler)
        yield from map(inputs_of, matched_batches(split, architecture, *keys))


def matched_dataset(
    split: Split,
    architecture: Architecture,
    seed: int,
    recipe: Recipe,
    epochs: range,
    class_weights: tuple[float, ...] | None = None,
) -> Any:
    """The same as a tf.data dataset. It draws a batch when it is asked for one.

    With class weights a third part of each batch: the weights of its images, float64 [n].
    """
    table = None if class_weights is None else np.array(class_weights, np.float64)

    def draw() -> Iterator[tuple[Any, ...]]:
        for inputs, labels in matched_inputs(split, architecture, seed, recipe, epochs):
            yield (inputs, labels) if table is None else (inputs, labels, table[labels])

    spec = batch_spec(architecture, masks=True)
    if table is not None:
        spec = (*spec, tf.TensorSpec([None], tf.float64))
    return untuned(tf.data.Dataset.from_generator(draw, output_signature=spec))


def stored_batches(split: Split, size: int) -> Any:
    """Batches (uint8 [n, height, width, channels], labels int64 [n]) of a split in its own order, the last one shorter.

    Read from the memory map when they are asked for; `from_tensor_slices` would copy all of it into memory.
    """

    def read() -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(split), size):
            rows = slice(start, start + size)
            yield np.ascontiguousarray(split.images[rows]), split.labels[rows]

    spec = tf.TensorSpec([None, *split.images.shape[1:]], tf.uint8), tf.TensorSpec([None], tf.int64)
    batches = tf.data.Dataset.from_generator(read, output_signature=spec)
    cardinality = tf.data.experimental.assert_cardinality(steps_per_epoch(len(split), size))
    return untuned(batches.apply(cardinality).prefetch(2))


def untuned(dataset: Any) -> Any:
    """The dataset without tf.data's tuner, for one that has nothing to tune.

    Where an iterator with a tuner is dropped, it may wait for the tuner's next look, and the time between two looks
    doubles up to a minute.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


class Ticker:
    """Passes the steps of an epoch on to the callbacks: about five times a second, and always the last one, the very
    first one of a training, and one whose loss is not finite."""

    def __init__(self, callbacks: Callbacks, epoch: int, total: int) -> None:
        self.total = total
        self._callbacks, self._epoch, self._done = callbacks, epoch, 0
        self._next = perf_counter() + REPORT_SECONDS

    def tick(self, loss: float, own: float) -> None:
        """After every step, with the epoch's mean loss so far and the step's; in validation too, to be cancelled."""
        self._done += 1
        validating = self._done > self.total
        if self._callbacks.each_step is not None and not validating:
            self._callbacks.each_step(own)
        if not (isfinite(own) or validating):
            self._callbacks.step(self._epoch, self._done, self.total, float(own))
        begins = self._epoch == self._done == 1
        if perf_counter() < self._next and self._done != self.total and not begins:
            return
        self._next = perf_counter() + REPORT_SECONDS
        done = min(self._done, self.total)
        self._callbacks.step(self._epoch, done, self.total, None if validating else float(loss))


def prefixed(prefix: str, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Puts `prefix/` before every key."""
    return {f"{prefix}/{key}": value for key, value in arrays.items()}


def below(prefix: str, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The entries under `prefix/`, without it."""
    return {key.removeprefix(f"{prefix}/"): value for key, value in arrays.items() if key.startswith(f"{prefix}/")}


def export_onnx(function: Callable[[Any], Any], architecture: Architecture, path: Path) -> None:
    """Writes one checked ONNX file, its input and output named as the contract says.

    Args:
        function: image tensor → probabilities tensor.

    Raises:
        BakeoffError: the converter left more layout changes than a served model may have, or an invalid file.
    """
    import onnx
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    traced = tf.function(function, autograph=False)
    model, _ = tf2onnx.convert.from_function(traced, input_signature=[input_spec(architecture)], opset=OPSET)
    _rename(model.graph, model.graph.input[0], INPUT)
    _rename(model.graph, model.graph.output[0], OUTPUT)
    onnx.save_model(model, str(path))
    transposes = read_facts(path).transposes
    if transposes > TRANSPOSES:
        raise BakeoffError(
            f"{architecture.name} as ONNX has {transposes} Transpose nodes, at most {TRANSPOSES} are allowed"
        )


def _rename(graph: Any, value: Any, name: str) -> None:
    old, value.name = value.name, name
    value.type.tensor_type.shape.dim[0].dim_param = "batch"
    for node in graph.node:
        node.input[:] = [name if item == old else item for item in node.input]
        node.output[:] = [name if item == old else item for item in node.output]


def as_arrays(variables: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Copies of variables as numpy arrays."""
    return {key: np.array(variable.numpy()) for key, variable in variables.items()}
