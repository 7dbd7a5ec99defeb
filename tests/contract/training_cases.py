"""Recipes every framework is put through on one small network with convolution, batch norm, dropout and a residual."""

from typing import Any

from core.schemas.names import Framework
from core.schemas.recipe import Recipe, complete
from trainer.layers import Activation, Architecture, BatchNorm, Conv, Dense, Dropout, Flatten, Residual

BATCH = 8
RELU = Activation("relu")
LAYERS = (
    *(Conv(4, stride=2, padding=1, bias=False), BatchNorm(), RELU, Dropout(0.25)),
    *(Residual((Conv(4, padding=1), BatchNorm())), Activation("tanh")),
    *(Flatten(), Dense(6), BatchNorm(), RELU, Dropout(0.5), Dense(3)),
)
NETWORK = Architecture("small", "Everything that training touches.", (8, 6, 2), 3, LAYERS)
LONG = 9 * BATCH + 3
"""Images of ten steps, the last one partial; in one epoch."""
SHORT, EPOCHS = 2 * BATCH, 5
"""The same number of steps in five epochs."""
SGD = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9}
ADAMW = {"name": "adamw", "weight_decay": 0.1}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": SGD},
    "adam": {},
    "adamw": {"optimizer": ADAMW},
    "sgd-l2": {"optimizer": SGD, "l2": 0.02},
    "adam-l2": {"l2": 0.02},
}
"""After one step and after ten."""
SCHEDULES: dict[str, dict[str, Any]] = {
    "step": {"name": "step", "every": 2, "factor": 0.3},
    "cosine": {"name": "cosine", "final": 0.1},
    "exponential": {"name": "exponential", "final": 0.05},
    "one-cycle": {"name": "one-cycle"},
    # Nothing ever counts as better: a reduction after every epoch but the first.
    "plateau": {"name": "plateau", "patience": 1, "factor": 0.5, "min_delta": 100.0},
}
FREEZE = [{"until": "head", "epochs": 1}, {"until": "residual1", "epochs": 2}]
OBJECTIVES: dict[str, dict[str, Any]] = {
    "smoothing-and-class-weights": {"label_smoothing": 0.1, "class_weights": {"class 0": 3.0, "class 2": 0.25}},
    "squared-error-weighted-sampler": {"loss": "mean_squared_error", "label_smoothing": 0.05, "sampler": "weighted"},
    "balanced": {"class_weights": "balanced", "optimizer": SGD},
    # Whole pixels alone: where Pillow resamples, it takes the second of two channels for transparency.
    "augmented": {"augmentation": {"flip": True, "crop": 1, "brightness": 0.3}, "optimizer": SGD},
    "gradual-unfreezing": {"freeze": FREEZE, "discriminative": 10, "optimizer": ADAMW, "schedule": "one-cycle"},
    "frozen-throughout": {"freeze": {"until": "residual1", "epochs": EPOCHS}, "l2": 0.02, "schedule": "cosine"},
}
PLAIN = "sgd-constant"
"""Asks for nothing that the other ten steps of SGD do not have too."""
TEN_STEPS: dict[str, dict[str, Any]] = {
    PLAIN: {"optimizer": SGD},
    **{f"sgd-{name}": {"optimizer": SGD, "schedule": schedule} for name, schedule in SCHEDULES.items()},
    **OBJECTIVES,
}
RESUMED = {"sgd-plateau": (4,), "gradual-unfreezing": (3, 4)}
"""After so many epochs: in the unfreezing at the end of a stage and in the middle of one, where a cycle goes on."""
OWN_SGD = {"name": "sgd", "learning_rate": 0.01}
IDIOMATIC: dict[str, dict[str, Any]] = {
    "own-step": {"schedule": SCHEDULES["step"], "optimizer": {"name": "adamw"}, "class_weights": "balanced"},
    "own-cosine": {"schedule": SCHEDULES["cosine"], "optimizer": OWN_SGD, "l2": 0.01, "loss": "mean_squared_error"},
    "own-exponential": {"schedule": SCHEDULES["exponential"], "label_smoothing": 0.1},
    "own-one-cycle": {"schedule": SCHEDULES["one-cycle"]},
    "own-plateau": {"schedule": SCHEDULES["plateau"]},
    "own-unfreezing": {"freeze": FREEZE, "discriminative": 10},
}
OWN_RESUMED = {"own-one-cycle": (2,), "own-plateau": (2,), "own-unfreezing": (2, 4)}
"""After so many epochs: within a cycle, between a bad epoch and the reduction it leads to in torch, and within both
stages that are longer than one."""
EXACT: tuple[Framework, ...] = ("pytorch", "fastai")
"""Whose own pipeline goes on bit for bit; the others shuffle anew."""
FINE_TUNED: dict[str, dict[str, Any]] = {
    f"fine-tuned-{rate or 'default'}": {"freeze": FREEZE, "optimizer": {"name": "adam", "learning_rate": rate}}
    for rate in (None, 1e-3, 2e-3)
}
CYCLES: dict[str, dict[str, Any]] = {
    "plain": {},
    "sgd": {"optimizer": {"name": "sgd"}},
    "sgd-momentum": {"optimizer": SGD},
    "unfreezing": {"freeze": FREEZE},
    "frozen-throughout": {"freeze": {"until": "head", "epochs": EPOCHS}},
}
"""Without a schedule, which is a habit of fastai's alone."""


def recipe(mode: str, epochs: int, keys: dict[str, Any]) -> Recipe:
    """A recipe as an experiment file would have it."""
    return Recipe.model_validate(complete(mode, {"epochs": epochs, "batch_size": BATCH, **keys}))


RATED = Architecture("bias", "Black images: its bias alone learns.", (1, 1, 1), 3, (Flatten(), Dense(3)))
RATE = 1e-4
"""Small enough that the gradient of ten steps is that of the first."""
SEEN: dict[str, dict[str, Any]] = {
    **SCHEDULES, "constant": {"name": "constant"}, "ramp": {"name": "exponential", "final": 1000.0},
}  # fmt: skip
"""Schedules whose rates are seen in the weights; the ramp is that of a search for a rate."""
