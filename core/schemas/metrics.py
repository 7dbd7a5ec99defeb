"""What is measured while a network is trained, and between two forms of the same one."""

import pydantic

from core.schemas.base import Schema


class EpochMetrics(Schema):
    """One epoch. Losses are means per image in nats; accuracies are shares of one."""

    # A framework may report a loss that is not finite; TrainingCallbacks ends the run before it is kept anywhere.
    model_config = pydantic.ConfigDict(allow_inf_nan=True)

    epoch: int
    """From 1."""
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    train_seconds: float
    validation_seconds: float
    data_seconds: float | None = None
    """Of train_seconds, waiting for the next batch; None in results of earlier versions that did not measure it."""
    train_images: int | None = None
    """Images of its training steps, where a loader may leave some out (fastai's the last, partial batch); None: all."""


class Parity(Schema):
    """Two sets of probabilities for the same images."""

    largest_difference: float
    mean_difference: float
    disagreements: int
    """Images whose most probable class differs."""
    images: int
