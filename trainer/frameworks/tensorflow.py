"""TensorFlow Core as its guides write it: tf.Module, tf.Variable, tf.nn, GradientTape and tf.data. No Keras.

What `framework` and None mean here (tensorflow.org/guide/core):
- batch size: 32, as "Load and preprocess images" has it.
- initializer: the guides' `xavier_init`, which is Glorot uniform, its fans counted over the kernel window; zero biases.
- pipeline: file names shuffled, `tf.io` decodes, `tf.image` resizes, `cache`, `shuffle`, `batch`, `prefetch(AUTOTUNE)`,
  as "Load and preprocess images" has it; before `batch` augmentation by `tf.image.stateless_random_*`, as "Data
  augmentation" has it; `tf.nn.dropout`. A weighted sampler is a dataset of each class and `sample_from_datasets`, as
  "Classification on imbalanced data" has it, without `cache`.
- optimizer: the guides' Adam (rate 1e-3, β 0.9 and 0.999, ε 1e-7) and GradientDescent (rate 1e-3, no momentum).
- batch norm: the guides have none. ε 1e-3 is TensorFlow's own for the fused operator, momentum 0.99 for the old layer.
- precision: bfloat16 by casts around convolutions and matrix products.
- schedule, l2, adamw, class weights, freeze: the guides write such things out, and so they are the shared ones.
- arithmetic: batch norm by TensorFlow's fused operator, which like the shared definition gives the unbiased variance to
  the running statistics but sums in one long float32 sum. Adam does not differ: the guides add ε after bias correction.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import NotFoundError
from core.formats import get_format
from core.runtimes._tensorflow import set_threads, use_device
from core.schemas.augmentation import Augmentation
from core.schemas.metrics import EpochMetrics
from core.schemas.recipe import Recipe
from core.schemas.schedule import Constant
from trainer.ahead import Waits, ahead
from trainer.batches import Batch, drawn_together, steps_per_epoch
from trainer.framework import BuildSettings, Callbacks, Inspection, State, TrainingData
from trainer.frameworks import _tf, _tf_data
from trainer.frameworks._tf import tf
from trainer.frameworks._tf_network import INFERENCE, Network, Run, initial, losses, scores
from trainer.frameworks._tf_optimizers import make_optimizer
from trainer.layers import Architecture, Head
from trainer.objective import Objective
from trainer.phases import Phase, fixed_norms, remaining
from trainer.schedules import epoch_shares
from trainer.weights import Weights, check


@dataclass(frozen=True)
class Model:
    """A network with what it was built from, and its compiled inference."""

    architecture: Architecture
    settings: BuildSettings
    network: Network
    probabilities: Any
    """uint8 images → probabilities, one trace for every batch size."""


class Training:
    """The compiled steps of one phase of a fit."""

    def __init__(self, model: Model, recipe: Recipe, phase: Phase, goal: Objective) -> None:
        network, head = model.network, model.architecture.head
        shared = recipe.pipeline == "shared"
        learning = {
            key: variable for key, variable in network.parameters.items() if variable.trainable and phase.trains(key)
        }
        variables = list(learning.values())
        fixed, reduced = frozenset(fixed_norms(model.architecture, phase)), recipe.precision == "bfloat16"
        optimizer = make_optimizer(recipe, learning, {key: phase.share(key) for key in learning})
        rate_spec = tf.TensorSpec([], network.dtype)

        @tf.function(input_signature=[*_tf.batch_spec(model.architecture, masks=shared), rate_spec], autograph=False)
        def step(inputs: dict[str, Any], labels: Any, rate: Any) -> Any:
            masks = inputs if shared else None
            with tf.GradientTape() as tape:
                logits = network(inputs["image"], Run(training=True, masks=masks, reduced=reduced, fixed=fixed))
                each = losses(head, logits, labels, goal, weighted=True)
                loss = tf.reduce_mean(each)
            optimizer.apply(tape.gradient(loss, variables), rate)
            return _sums(head, logits, labels, each)

        self.step, self.optimizer = step, optimizer
        self._schedule, self._phase, self._dtype = recipe.schedule or Constant(), phase, network.dtype

    def rates(self, epoch: int, steps: int, history: Sequence[EpochMetrics]) -> Iterator[Any]:
        """The learning rate of each step of an epoch."""
        phase = self._phase
        shares = epoch_shares(self._schedule, epoch - phase.first + 1, phase.epochs, steps, history[phase.first - 1 :])
        return (tf.constant(rate, self._dtype) for rate in shares * self.optimizer.rate)


def make_score(model: Model, recipe: Recipe, goal: Objective) -> Any:
    """The compiled validation of one batch."""
    network, head = model.network, model.architecture.head
    run = Run(reduced=recipe.precision == "bfloat16")

    @tf.function(input_signature=_tf.batch_spec(model.architecture, masks=False), autograph=False)
    def score(inputs: dict[str, Any], labels: Any) -> Any:
        logits = network(inputs["image"], run)
        return _sums(head, logits, labels, losses(head, logits, labels, goal, weighted=False))

    return score


class TensorFlowFramework:
    """Implements trainer.framework.Framework."""

    name = "tensorflow"
    formats = ("savedmodel", "onnx")

    def has_cuda(self) -> bool:
        """See the protocol."""
        return _tf.has_cuda()

    def build(self, architecture: Architecture, weights: Weights | None, settings: BuildSettings) -> Model:
        """See the protocol."""
        set_threads(settings.threads)
        use_device(settings.device)
        values = initial(architecture, settings.seed) if weights is None else weights
        check(values, architecture)
        network = Network(architecture, values, settings)

        @tf.function(input_signature=[_tf.input_spec(architecture)], autograph=False)
        def probabilities(image: Any) -> Any:
            return tf.nn.softmax(scores(architecture.head, network(image, INFERENCE)))

        return Model(architecture, settings, network, probabilities)

    def weights(self, model: Model) -> Weights:
        """See the protocol."""
        return _tf.as_arrays(model.network.parameters)

    def assign(self, model: Model, weights: Weights) -> None:
        """See the protocol."""
        check(weights, model.architecture)
        for key, variable in model.network.parameters.items():
            variable.assign(weights[key])

    def fit(self, model: Model, data: TrainingData, recipe: Recipe, callbacks: Callbacks) -> None:
        """See the protocol. With the framework's pipeline a resumed training shuffles and drops differently."""
        goal = data.objective(recipe)
        saved, callbacks.resume = callbacks.resume, None
        if saved is not None:
            self.assign(model, _tf.below("weights", saved))
        tf.random.set_seed(model.settings.seed + callbacks.resume_epoch)
        validation = _validation(data, recipe)
        score = make_score(model, recipe, goal)
        for phase, epochs in remaining(recipe, model.architecture, callbacks):
            training = Training(model, recipe, phase, goal)
            if saved is not None and epochs.start > phase.first:
                restore(training, saved)
            saved = None  # not to be kept in memory to the end
            for epoch, drawn in _epochs(model, data, recipe, epochs):
                batches = Waits(drawn)
                ticker = _tf.Ticker(callbacks, epoch, steps_per_epoch(len(data.train), recipe.batch))
                rates = training.rates(epoch, ticker.total, callbacks.history)
                started = perf_counter()
                loss, accuracy = _run(training.step, zip_inputs(batches, rates), ticker, ticker.total)
                trained = perf_counter()
                validation_loss, validation_accuracy = _run(score, iter(validation), ticker, len(validation))
                metrics = EpochMetrics(
                    epoch=epoch,
                    train_loss=loss,
                    train_accuracy=accuracy,
                    validation_loss=validation_loss,
                    validation_accuracy=validation_accuracy,
                    train_seconds=trained - started,
                    validation_seconds=perf_counter() - trained,
                    data_seconds=batches.seconds,
                )
                callbacks.epoch(metrics, partial(state, model, training))
                if callbacks.stopped:
                    break

    def first_batch(
        self, model: Model, data: TrainingData, recipe: Recipe
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """See the protocol."""
        tf.random.set_seed(model.settings.seed)
        inputs, labels = next(iter(_own_batches(data, recipe, model.settings.seed)))
        return inputs["image"].numpy(), labels.numpy()

    def predict(self, model: Model, images: NDArray[np.uint8]) -> NDArray[np.floating]:
        """See the protocol."""
        size = _tf.PREDICT_BATCH
        parts = [model.probabilities(images[start : start + size]).numpy() for start in range(0, len(images), size)]
        empty = np.empty((0, model.architecture.classes), model.settings.dtype)
        return np.concatenate(parts) if parts else empty

    def export(self, model: Model, format_name: str, directory: Path) -> None:
        """See the protocol."""
        path = directory / get_format(format_name).path
        if format_name == "onnx":
            _tf.export_onnx(model.probabilities.python_function, model.architecture, path)
        elif format_name == "savedmodel":
            self._save(model, path)
        else:
            raise NotFoundError(f"tensorflow does not export {format_name!r}; it exports: {', '.join(self.formats)}")

    def extras(self, model: Model, directory: Path) -> None:
        """Nothing: both formats load in a runtime."""

    def inspect(self, model: Model, batch: Batch) -> Inspection:
        """See the protocol."""
        variables = {v.ref(): key for key, v in model.network.parameters.items() if v.trainable}
        with tf.GradientTape() as tape:
            logits = model.network(batch.images, Run(training=True, masks=batch.masks, update=False))
            loss = tf.reduce_mean(losses(model.architecture.head, logits, batch.labels, Objective(), weighted=False))
        gradients = tape.gradient(loss, [reference.deref() for reference in variables])
        return Inspection(
            logits=logits.numpy(),
            loss=float(loss),
            gradients={key: g.numpy() for key, g in zip(variables.values(), gradients, strict=True)},
            parameters=sum(v.shape.num_elements() for v in model.network.variables),
            trainable_parameters=sum(v.shape.num_elements() for v in model.network.trainable_variables),
        )

    def _save(self, model: Model, path: Path) -> None:
        module = tf.Module(name="served")
        module.network = model.network

        @tf.function(input_signature=[_tf.input_spec(model.architecture)], autograph=False)
        def serve(image: Any) -> Any:
            return {"probabilities": model.probabilities.python_function(image)}

        tf.saved_model.save(module, str(path), signatures={"serving_default": serve})


def state(model: Model, training: Training) -> State:
    """Weights and optimiser as arrays."""
    moments = {str(i): variable for i, variable in enumerate(training.optimizer.state)}
    weights = _tf.as_arrays(model.network.parameters)
    return _tf.prefixed("weights", weights) | _tf.prefixed("optimizer", _tf.as_arrays(moments))


def restore(training: Training, saved: State) -> None:
    """Puts an optimiser's state back."""
    for index, variable in enumerate(training.optimizer.state):
        variable.assign(saved[f"optimizer/{index}"])


def _epochs(
    model: Model, data: TrainingData, recipe: Recipe, epochs: range
) -> Iterable[tuple[int, Iterator[_tf.Inputs]]]:
    """Each epoch's number and its batches."""
    seed, shared = model.settings.seed, recipe.pipeline == "shared"
    together = drawn_together(recipe.batch, model.architecture, masks=shared)
    if shared:
        drawn = _tf.matched_inputs(data.train, model.architecture, seed, recipe, epochs)
        # Into tensors in that thread too.
        matched = ahead((tf.nest.map_structure(tf.convert_to_tensor, inputs) for inputs in drawn), together)
        return ((epoch, matched) for epoch in epochs)
    own = _own_batches(data, recipe, seed + epochs.start)
    return ((epoch, ahead(iter(own), together)) for epoch in epochs)


def _own_batches(data: TrainingData, recipe: Recipe, seed: int) -> Any:
    originals = data.original("train")
    return _tf_data.batches(data.train, originals, recipe.batch, recipe.augmentation, seed, recipe.sampler)


def _validation(data: TrainingData, recipe: Recipe) -> Any:
    """Batches to score, with the originals decoded anew or kept as `tf.data` does; the arrays otherwise."""
    originals = data.original("validation") if recipe.pipeline == "framework" else None
    if originals is not None:
        return _tf_data.batches(data.validation, originals, recipe.batch, Augmentation())
    return _tf.stored_batches(data.validation, recipe.batch).map(lambda images, labels: ({"image": images}, labels))


def zip_inputs(batches: Iterator[_tf.Inputs], rates: Iterator[Any]) -> Iterator[tuple[Any, ...]]:
    """A training step's arguments. Rates come first: a stream that goes on loses no batch when an epoch ends."""
    return ((*batch, rate) for rate, batch in zip(rates, batches, strict=False))


def _run(step: Any, batches: Iterator[tuple[Any, ...]], ticker: _tf.Ticker, steps: int) -> tuple[float, float]:
    """Mean loss and accuracy over the images of so many batches, each as it was when its step was taken."""
    totals = np.zeros(3)
    for _ in range(steps):
        sums = step(*next(batches)).numpy()
        totals += sums
        ticker.tick(totals[0] / totals[2], sums[0] / sums[2])
    return float(totals[0] / totals[2]), float(totals[1] / totals[2])


def _sums(head: Head, logits: Any, labels: Any, each: Any) -> Any:
    """[sum of losses, number right, number of images] of a batch."""
    right = tf.equal(tf.argmax(scores(head, logits), axis=1), labels)
    count = tf.cast(tf.size(labels), each.dtype)
    return tf.stack([tf.reduce_sum(each), tf.reduce_sum(tf.cast(right, each.dtype)), count])


FRAMEWORK = TensorFlowFramework()
