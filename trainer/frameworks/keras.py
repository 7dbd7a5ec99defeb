"""Keras 3 on TensorFlow: functional models trained with Model.fit.

What `framework` and None mean here, all of it Keras's own:
- initializer: Glorot uniform kernels, zero biases.
- pipeline: `image_dataset_from_directory` and preprocessing layers mapped over it, given to `Model.fit`, which scores
  `validation_data`; arrays go to it as they are; `keras.layers.Dropout`.
- optimizer: `keras.optimizers.Adam` (rate 1e-3, β 0.9 and 0.999, ε 1e-7) and `SGD` (rate 1e-2, no momentum).
- batch norm: momentum 0.99, ε 1e-3.
- arithmetic: Adam's ε is added before bias correction, the running variance is the biased one, momentum keeps rate·v
  instead of v, and batch statistics are one long float32 sum.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

# Before anything imports Keras, which imports TensorFlow.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import keras
import numpy as np
from numpy.typing import NDArray

from core.errors import NotFoundError
from core.formats import get_format
from core.runtimes._tensorflow import set_threads
from core.schemas.recipe import Adam, Recipe
from core.schemas.results import EpochMetrics
from trainer.batches import Batch, steps_per_epoch
from trainer.framework import BuildSettings, Callbacks, Inspection, State, TrainingData
from trainer.frameworks import _keras_data, _tf
from trainer.frameworks._keras_layers import CanonicalAdam, CanonicalSgd
from trainer.frameworks._keras_network import (
    Builder,
    Networks,
    precision,
    scores,
    stock_probabilities,
    with_probabilities,
)
from trainer.frameworks._tf import tf
from trainer.layers import Architecture
from trainer.weights import Weights, check


@dataclass(frozen=True)
class Model:
    """A network with what it was built from."""

    architecture: Architecture
    settings: BuildSettings
    networks: Networks
    probabilities: Any
    """image → probabilities over the networks' own layers."""

    @property
    def variables(self) -> dict[str, Any]:
        """Weights by canonical key, in network order."""
        paths = ((node.path, name) for _, node in self.architecture.walk() for name in node.parameters)
        return {f"{path}/{name}": getattr(self.networks.layers[path], name) for path, name in paths}


class Trained(keras.Model):
    """What Model.fit trains: takes a plain image, or a dict of image and dropout masks, and gives scores."""

    def __init__(self, model: Model) -> None:
        super().__init__(name="trained")
        self._head = model.architecture.head
        self._plain, self._masked = model.networks.plain, model.networks.masked

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        network = self._masked if isinstance(inputs, dict) else self._plain
        return scores(self._head, network(inputs, training=training))


class Reporter(keras.callbacks.Callback):
    """Passes Keras's progress and metrics on."""

    def __init__(self, model: Model, trained: Trained, total: int, callbacks: Callbacks) -> None:
        super().__init__()
        self._built, self._trained, self._total, self._callbacks = model, trained, total, callbacks

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._ticker = _tf.Ticker(self._callbacks, epoch + 1, self._total)
        self._began = perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._ticker.tick(logs["loss"])

    def on_test_begin(self, logs: Any = None) -> None:
        self._validated = perf_counter()

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self._ticker.tick(logs["loss"])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        metrics = EpochMetrics(
            epoch=epoch + 1,
            train_loss=logs["loss"],
            train_accuracy=logs["accuracy"],
            validation_loss=logs["val_loss"],
            validation_accuracy=logs["val_accuracy"],
            train_seconds=self._validated - self._began,
            validation_seconds=perf_counter() - self._validated,
        )
        self._callbacks.epoch(metrics, lambda: state(self._built, self._trained.optimizer))


class KerasFramework:
    """Implements trainer.framework.Framework."""

    name = "keras"
    formats = ("keras", "savedmodel", "onnx")

    def build(self, architecture: Architecture, weights: Weights | None, settings: BuildSettings) -> Model:
        """See the protocol."""
        set_threads(settings.threads)
        keras.utils.set_random_seed(settings.seed)
        with precision(settings.dtype):
            networks = Builder(architecture, settings, canonical=settings.recipe.arithmetic == "shared").build()
            model = Model(architecture, settings, networks, with_probabilities(networks.plain, architecture.head))
        if weights is not None:
            load_weights(model, weights)
        return model

    def weights(self, model: Model) -> Weights:
        """See the protocol."""
        return _tf.as_arrays(model.variables)

    def fit(self, model: Model, data: TrainingData, recipe: Recipe, callbacks: Callbacks) -> None:
        """See the protocol. With the framework's pipeline a resumed training shuffles differently."""
        with precision(model.settings.dtype):
            trained = Trained(model)
            trained.compile(
                optimizer=make_optimizer(recipe),
                loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
            )
            trained.optimizer.build([v for v in model.variables.values() if v.trainable])
            if callbacks.resume is not None:
                restore(model, trained.optimizer, callbacks.resume)
            if callbacks.resume_epoch < recipe.epochs:
                self._fit(model, trained, data, recipe, callbacks)

    def _fit(self, model: Model, trained: Trained, data: TrainingData, recipe: Recipe, callbacks: Callbacks) -> None:
        first, seed = callbacks.resume_epoch, model.settings.seed
        keras.utils.set_random_seed(seed + first)
        steps = steps_per_epoch(len(data.train), recipe.batch_size)
        if recipe.pipeline == "shared":
            epochs = range(first + 1, recipe.epochs + 1)
            batches = _tf.matched_dataset(data.train, model.architecture, seed, recipe, epochs)
            source: dict[str, Any] = {"x": batches, "steps_per_epoch": steps, "shuffle": False}
        elif data.originals or recipe.augmentation.active:
            source = {
                "x": _keras_data.batches(data, "train", recipe, recipe.batch_size, seed + first),
                "shuffle": False,
            }
        else:
            source = {"x": data.train.images, "y": data.train.labels, "batch_size": recipe.batch_size, "shuffle": True}
        trained.fit(
            **source,
            initial_epoch=first,
            epochs=recipe.epochs,
            **_validation(data, recipe),
            callbacks=[Reporter(model, trained, steps, callbacks)],
            verbose=0,
        )

    def first_batch(
        self, model: Model, data: TrainingData, recipe: Recipe
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """See the protocol."""
        images, labels = next(iter(_keras_data.batches(data, "train", recipe, recipe.batch_size, model.settings.seed)))
        return images.numpy(), labels.numpy()

    def predict(self, model: Model, images: NDArray[np.uint8]) -> NDArray[np.floating]:
        """See the protocol."""
        if not len(images):
            return np.empty((0, model.architecture.classes), model.settings.dtype)
        values: NDArray[np.floating] = model.probabilities.predict(images, batch_size=_tf.PREDICT_BATCH, verbose=0)
        return values

    def export(self, model: Model, format_name: str, directory: Path) -> None:
        """See the protocol."""
        path = directory / get_format(format_name).path
        stock = stock_probabilities(model.networks, model.architecture.head)
        if format_name == "keras":
            stock.save(path)
        elif format_name == "savedmodel":
            archive = keras.export.ExportArchive()
            archive.track(stock)
            signature = [_tf.input_spec(model.architecture)]
            archive.add_endpoint("serving_default", lambda image: {"probabilities": stock(image)}, signature)
            archive.write_out(str(path), verbose=False)
        elif format_name == "onnx":
            _tf.export_onnx(stock, model.architecture, path)
        else:
            raise NotFoundError(f"keras does not export {format_name!r}; it exports: {', '.join(self.formats)}")

    def extras(self, model: Model, directory: Path) -> None:
        """Nothing: all formats load in a runtime."""

    def inspect(self, model: Model, batch: Batch) -> Inspection:
        """See the protocol."""
        network = model.networks.masked
        keys = {id(variable): key for key, variable in model.variables.items()}
        inputs, labels = _tf.inputs_of(batch)
        trainable = [tf.convert_to_tensor(variable) for variable in network.trainable_variables]
        fixed = [tf.convert_to_tensor(variable) for variable in network.non_trainable_variables]
        with precision(model.settings.dtype), tf.GradientTape() as tape:
            tape.watch(trainable)
            logits, _ = network.stateless_call(trainable, fixed, inputs, training=True)
            entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            loss = entropy(labels, scores(model.architecture.head, logits))
        gradients = zip(network.trainable_variables, tape.gradient(loss, trainable), strict=True)
        return Inspection(
            logits=logits.numpy(),
            loss=float(loss),
            gradients={keys[id(variable)]: gradient.numpy() for variable, gradient in gradients},
            parameters=model.networks.plain.count_params(),
            trainable_parameters=sum(math.prod(variable.shape) for variable in network.trainable_variables),
        )


def _validation(data: TrainingData, recipe: Recipe) -> dict[str, Any]:
    """What Model.fit scores: the originals by Keras's loader, or the arrays."""
    if recipe.pipeline == "framework" and data.originals:
        return {"validation_data": _keras_data.batches(data, "validation", recipe, _tf.PREDICT_BATCH)}
    arrays = (data.validation.images, data.validation.labels)
    return {"validation_data": arrays, "validation_batch_size": _tf.PREDICT_BATCH}


def make_optimizer(recipe: Recipe) -> Any:
    """Keras's class, or its canonical form; what the recipe leaves open is Keras's default."""
    spec = recipe.optimizer
    options = {key: value for key, value in spec.model_dump(exclude={"name"}).items() if value is not None}
    canonical = recipe.arithmetic == "shared"
    if isinstance(spec, Adam):
        return CanonicalAdam(**options) if canonical else keras.optimizers.Adam(**options)
    return CanonicalSgd(**options) if canonical else keras.optimizers.SGD(**options)


def load_weights(model: Model, weights: Weights) -> None:
    """Puts canonical weights in. Raises InvalidInputError when they belong to another architecture."""
    check(weights, model.architecture)
    for key, variable in model.variables.items():
        variable.assign(weights[key])


def state(model: Model, optimizer: Any) -> State:
    """Weights, optimiser and the seeds of Keras's own dropout as arrays."""
    weights = _tf.prefixed("weights", _tf.as_arrays(model.variables))
    return weights | _tf.prefixed("rest", _tf.as_arrays(_rest(model, optimizer)))


def restore(model: Model, optimizer: Any, saved: State) -> None:
    """Puts a state back. Raises InvalidInputError when it belongs to another architecture."""
    load_weights(model, _tf.below("weights", saved))
    for key, variable in _rest(model, optimizer).items():
        variable.assign(saved[f"rest/{key}"])


def _rest(model: Model, optimizer: Any) -> dict[str, Any]:
    dropouts = [model.networks.layers[node.path].seed_generator.state for node in model.architecture.dropouts]
    return {str(index): variable for index, variable in enumerate([*optimizer.variables, *dropouts])}


FRAMEWORK = KerasFramework()
