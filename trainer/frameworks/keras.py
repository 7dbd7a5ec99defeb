"""Keras 3 on TensorFlow: functional models trained with Model.fit.

What `framework` and None mean here, all of it Keras's own:
- batch size: 32, the default of `Model.fit`.
- initializer: Glorot uniform kernels, zero biases.
- pipeline: `image_dataset_from_directory` and preprocessing layers mapped over it, given to `Model.fit`, which scores
  `validation_data`; arrays are sliced, shuffled and batched by `tf.data`; `keras.layers.Dropout`. A weighted sampler is
  a `tf.data.Dataset` of each class and `sample_from_datasets`, resized by Keras's `Resizing`. In both modes the step
  that `Model.fit` calls gets its batch from a thread instead of taking it itself: nobody waits for the handing over,
  and waiting for data can be measured.
- optimizer: `keras.optimizers.Adam` (rate 1e-3, β 0.9 and 0.999, ε 1e-7) and `SGD` (rate 1e-2, no momentum).
- schedule: none; `ExponentialDecay` for step and exponential, `CosineDecay` for cosine and, with its straight warm-up,
  for one-cycle. A plateau is the shared rule, which is that of `ReduceLROnPlateau`.
- adamw: `keras.optimizers.AdamW` (decay 0.004, of every variable); class weights: `class_weight` of `fit`.
- l2: added to the gradients of kernels: what `kernel_regularizer=L2(l2 / 2)` does, but for the reported loss.
- freeze: `layer.trainable`, by which a fixed batch norm computes as in inference.
- precision: Keras's own `mixed_bfloat16` policy, batch norm in float32.
- batch norm: momentum 0.99, ε 1e-3.
- arithmetic: Adam's ε is added before bias correction, the running variance is the biased one, momentum keeps rate·v
  instead of v, and batch statistics are one long float32 sum. On a GPU Keras compiles with XLA, the shared one not.
"""

import math
import os
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

# Before anything imports Keras, which imports TensorFlow.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import keras
import numpy as np
from numpy.typing import NDArray

from core.errors import NotFoundError
from core.formats import get_format
from core.runtimes._tensorflow import set_threads, use_device
from core.schemas.metrics import EpochMetrics
from core.schemas.recipe import Recipe
from trainer.ahead import ahead
from trainer.batches import Batch, drawn_together, steps_per_epoch
from trainer.framework import BuildSettings, Callbacks, Inspection, State, TrainingData
from trainer.frameworks import _keras_data, _tf
from trainer.frameworks._keras_network import (
    Builder,
    Networks,
    precision,
    scores,
    stock_probabilities,
    with_probabilities,
)
from trainer.frameworks._keras_optimizers import HeadLoss, SharedRate, make_optimizer
from trainer.frameworks._tf import tf
from trainer.layers import Architecture, Dropout
from trainer.objective import Objective
from trainer.phases import Phase, remaining
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

    train_function: Any
    """Keras's; None once it is compiled anew."""

    def __init__(self, model: Model) -> None:
        super().__init__(name="trained")
        recipe = model.settings.recipe
        self.feed = Feed(drawn_together(recipe.batch, model.architecture, masks=recipe.pipeline == "shared"))
        self._head, self._dtype = model.architecture.head, model.settings.dtype
        self._plain, self._masked = model.networks.plain, model.networks.masked

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        network = self._masked if isinstance(inputs, dict) else self._plain
        return scores(self._head, keras.ops.cast(network(inputs, training=training), self._dtype))

    def make_train_function(self, force: bool = False) -> None:
        """Model.fit's own step, but batches come from the feed; the compiled function else takes them itself.

        Each is an optional, which keeps the data set's dynamic shapes: one trace, for the last batch too.
        """
        if self.train_function is not None and not force:
            return
        compiled = tf.function(self.train_step, jit_compile=self.jit_compile, reduce_retracing=True, autograph=False)
        step = tf.function(lambda batch: compiled(batch.get_value()), reduce_retracing=True, autograph=False)
        self.train_function = lambda batches: step(self.feed.next_of(batches))


class Feed:
    """Takes the batches of Model.fit in a thread, ahead of the steps.

    No step waits while `tf.data` hands a batch over then, 0.4 ms where its threads find both cores busy; and how long
    steps do wait shows.

    Args:
        together: how many batches one turn of the thread takes at most.
    """

    def __init__(self, together: int) -> None:
        self._together = together
        self._source: Any = None
        self._batches: Generator[Any, None, None] = ahead(iter(()))
        self.begin()

    def begin(self) -> None:
        """From here on waiting counts anew."""
        self.seconds = 0.0

    def next_of(self, source: Any) -> Any:
        """The iterator's next batch, an optional with a value. StopIteration at the end, as Model.fit expects it."""
        if source is not self._source:  # With steps_per_epoch all epochs have one iterator, else each has its own.
            self.close()
            self._source, self._batches = source, ahead(_optionals(source), self._together)
        began = perf_counter()
        batch = next(self._batches)
        self.seconds += perf_counter() - began
        return batch

    def close(self) -> None:
        """Ends the thread."""
        self._batches.close()


def _optionals(batches: Any) -> Iterator[Any]:
    while (batch := batches.get_next_as_optional()).has_value():
        yield batch


class Reporter(keras.callbacks.Callback):
    """Passes Keras's progress and metrics on."""

    def __init__(self, model: Model, trained: Trained, total: int, callbacks: Callbacks) -> None:
        super().__init__()
        self._built, self._trained, self._total, self._callbacks = model, trained, total, callbacks

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._ticker = _tf.Ticker(self._callbacks, epoch + 1, self._total)
        if isinstance(rate := self._trained.optimizer._learning_rate, SharedRate):
            rate.begin(epoch + 1, self._callbacks.history)
        self._trained.feed.begin()
        self._began = perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._callbacks.each_step is not None:
            # Keras logs running means; forgetting them leaves the step's own loss.
            self.model.reset_metrics()
        # A mean is not finite from the first step on whose loss is not.
        self._ticker.tick(logs["loss"], logs["loss"])
        # The last batch's counts: before the first validation begins, Keras builds what reads its images.
        self._ended = perf_counter()

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self._ticker.tick(logs["loss"], logs["loss"])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        metrics = EpochMetrics(
            epoch=epoch + 1,
            train_loss=logs["loss"],
            train_accuracy=logs["accuracy"],
            validation_loss=logs["val_loss"],
            validation_accuracy=logs["val_accuracy"],
            train_seconds=self._ended - self._began,
            validation_seconds=perf_counter() - self._ended,
            data_seconds=self._trained.feed.seconds,
        )
        self._callbacks.epoch(metrics, lambda: state(self._built, self._trained.optimizer))
        if self._callbacks.stopped:
            self.model.stop_training = True


class KerasFramework:
    """Implements trainer.framework.Framework."""

    name = "keras"
    formats = ("keras", "savedmodel", "onnx")

    def has_cuda(self) -> bool:
        """See the protocol."""
        return _tf.has_cuda()

    def build(self, architecture: Architecture, weights: Weights | None, settings: BuildSettings) -> Model:
        """See the protocol."""
        set_threads(settings.threads)
        use_device(settings.device)
        keras.utils.set_random_seed(settings.seed)
        with precision(settings.dtype, "mixed_bfloat16" if reduced(settings) else None):
            networks = Builder(architecture, settings, canonical=settings.recipe.arithmetic == "shared").build()
        with precision(settings.dtype):
            model = Model(architecture, settings, networks, with_probabilities(networks.plain, architecture.head))
        if weights is not None:
            load_weights(model, weights)
        return model

    def weights(self, model: Model) -> Weights:
        """See the protocol."""
        return _tf.as_arrays(model.variables)

    def assign(self, model: Model, weights: Weights) -> None:
        """See the protocol."""
        load_weights(model, weights)

    def fit(self, model: Model, data: TrainingData, recipe: Recipe, callbacks: Callbacks) -> None:
        """See the protocol. With the framework's pipeline a resumed training shuffles differently."""
        saved, callbacks.resume = callbacks.resume, None
        if saved is not None:
            load_weights(model, _tf.below("weights", saved))
        keras.utils.set_random_seed(model.settings.seed + callbacks.resume_epoch)
        goal = data.objective(recipe)
        with precision(model.settings.dtype):
            for phase, epochs in remaining(recipe, model.architecture, callbacks):
                freeze(model, phase)
                trained = self._compiled(model, recipe, phase, goal, len(data.train))
                if saved is not None and epochs.start > phase.first:
                    restore(model, trained.optimizer, saved)
                saved = None
                self._fit(model, trained, data, recipe, goal, epochs, callbacks)
        freeze(model, Phase(1, recipe.epochs))

    def _compiled(self, model: Model, recipe: Recipe, phase: Phase, goal: Objective, images: int) -> "Trained":
        trained = Trained(model)
        learning = {k: v for k, v in model.variables.items() if v.trainable and phase.trains(k)}
        steps = steps_per_epoch(images, recipe.batch)
        trained.compile(
            optimizer=make_optimizer(recipe, phase, steps, tuple(learning)),
            loss=make_loss(goal, model.settings.dtype),
            metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
            jit_compile=xla(model.settings),
        )
        trained.optimizer.build(list(learning.values()))
        return trained

    def _fit(
        self,
        model: Model,
        trained: Trained,
        data: TrainingData,
        recipe: Recipe,
        goal: Objective,
        epochs: range,
        callbacks: Callbacks,
    ) -> None:
        steps, seed = steps_per_epoch(len(data.train), recipe.batch), model.settings.seed
        if recipe.pipeline == "shared":
            batches = _tf.matched_dataset(data.train, model.architecture, seed, recipe, epochs, goal.class_weights)
            source: dict[str, Any] = {"x": batches, "steps_per_epoch": steps}
        else:
            # Arrays too: Model.fit itself shuffles them by an operator inside a map, which after a global seed starts
            # anew with every epoch's iterator, so that all epochs would have one order.
            source = {"x": _keras_data.batches(data, "train", recipe, recipe.batch, seed + epochs.start - 1)}
        if recipe.pipeline == "framework" and goal.class_weights is not None:
            source["class_weight"] = dict(enumerate(goal.class_weights))
        with closing(trained.feed):
            trained.fit(
                **source,
                shuffle=False,
                initial_epoch=epochs.start - 1,
                epochs=epochs.stop - 1,
                validation_data=_validation(data, recipe),
                callbacks=[Reporter(model, trained, steps, callbacks)],
                verbose=0,
            )

    def first_batch(
        self, model: Model, data: TrainingData, recipe: Recipe
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """See the protocol."""
        images, labels = next(iter(_keras_data.batches(data, "train", recipe, recipe.batch, model.settings.seed)))
        return images.numpy(), labels.numpy()

    def predict(self, model: Model, images: NDArray[np.uint8]) -> NDArray[np.floating]:
        """See the protocol."""
        if not len(images):
            return np.empty((0, model.architecture.classes), model.settings.dtype)
        # Training computes in bfloat16 where the recipe says so; inference never does.
        network = model.probabilities
        if reduced(model.settings):
            network = stock_probabilities(model.networks, model.architecture.head)
        if not xla(model.settings):
            network.jit_compile = False
        values: NDArray[np.floating] = network.predict(images, batch_size=_tf.PREDICT_BATCH, verbose=0)
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


def _validation(data: TrainingData, recipe: Recipe) -> Any:
    """What Model.fit scores: the originals by Keras's loader, or the arrays."""
    if recipe.pipeline == "framework" and data.originals:
        return _keras_data.batches(data, "validation", recipe, recipe.batch)
    return _tf.stored_batches(data.validation, recipe.batch)


def reduced(settings: BuildSettings) -> bool:
    """Whether a network trains in bfloat16."""
    return settings.recipe.precision == "bfloat16" and settings.dtype == "float32"


def xla(settings: BuildSettings) -> bool | Literal["auto"]:
    """What Keras is told of XLA, which fuses operations and so rounds otherwise. Left to itself Keras compiles with it
    wherever the machine has a GPU, even one it must not use."""
    return False if settings.recipe.arithmetic == "shared" or settings.device == "cpu" else "auto"


def make_loss(goal: Objective, dtype: str) -> Any:
    """Keras's sparse cross-entropy where it is the objective; class weights come with the images."""
    if goal.plain:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return HeadLoss(goal.kind, goal.smoothing, dtype)


def freeze(model: Model, phase: Phase) -> None:
    """Makes the layers trainable that learn in a phase, and no others."""
    for _, node in model.architecture.walk():
        if node.parameters:
            model.networks.layers[node.path].trainable = phase.trains(node.path)


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
    """Puts the optimiser and the seeds of a state back."""
    for key, variable in _rest(model, optimizer).items():
        variable.assign(saved[f"rest/{key}"])


def _rest(model: Model, optimizer: Any) -> dict[str, Any]:
    # A dropout of nothing has no seeds.
    drawing = [n for n in model.architecture.dropouts if isinstance(n.layer, Dropout) and n.layer.rate > 0.0]
    seeds = [model.networks.layers[node.path].seed_generator.state for node in drawing]
    return {str(index): variable for index, variable in enumerate([*optimizer.variables, *seeds])}


FRAMEWORK = KerasFramework()
