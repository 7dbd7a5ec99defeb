"""Canonical weights: `{"<path>/<parameter>": ndarray}` in one layout for all frameworks."""

from math import prod, sqrt

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from trainer.layers import Architecture, Parameter
from trainer.random import generator

Weights = dict[str, NDArray[np.floating]]
"""Kernels HWIO, dense kernels in×out (rows in height, width, channel order after a flatten), vectors otherwise."""

ONES = ("gamma", "moving_variance")


def initial_weights(architecture: Architecture, seed: int) -> Weights:
    """Float64: Glorot uniform kernels (Glorot and Bengio 2010), unit scales and variances, zeros elsewhere."""
    return {key: _initial(key, parameter, seed) for key, parameter in architecture.parameters.items()}


def check(weights: Weights, architecture: Architecture) -> None:
    """Raises InvalidInputError when a tensor is missing, unknown or of another shape, naming the first one."""
    expected = architecture.parameters
    for key in sorted(weights.keys() ^ expected.keys()):
        state = "are missing" if key in expected else "do not belong to it"
        raise InvalidInputError(
            f"weights {key!r} {state} ({architecture.name}); were they saved from another architecture?"
        )
    for key, parameter in expected.items():
        if weights[key].shape != parameter.shape:
            raise InvalidInputError(
                f"weights {key!r} have shape {weights[key].shape}, {architecture.name} expects {parameter.shape}"
            )


def _initial(key: str, parameter: Parameter, seed: int) -> NDArray[np.floating]:
    name = key.rsplit("/", 1)[-1]
    if name != "kernel":
        return np.full(parameter.shape, 1.0 if name in ONES else 0.0)
    window = prod(parameter.shape[:-2])
    limit = sqrt(6.0 / (window * (parameter.shape[-2] + parameter.shape[-1])))
    return generator(seed, "weights", key).uniform(-limit, limit, parameter.shape)
