"""How far float32 logits of a large batch are from float64: `python -m tests.contract.precision_probe FRAMEWORK`."""

import sys

import numpy as np

from core.prepared import Split
from tests.contract import networks
from trainer.architectures import get_architecture
from trainer.batches import matched_batches
from trainer.framework import get_framework


def error(name: str) -> float:
    """Largest difference as a share of the largest logit; batch norm of up to 131,072 values a channel."""
    architecture = get_architecture("cnn5", (64, 64, 1))
    draw = np.random.default_rng(0)
    split = Split(draw.integers(0, 256, (32, 64, 64, 1), np.uint8), draw.integers(0, 2, 32))
    batch = next(matched_batches(split, architecture, 0, 1, 32))
    framework, weights = get_framework(name), networks.weights(architecture)
    settings = [networks.settings(architecture, networks.matched(), dtype) for dtype in ("float32", "float64")]
    got, exact = (framework.inspect(framework.build(architecture, weights, each), batch).logits for each in settings)
    return float(np.abs(got - exact).max() / np.abs(exact).max())


if __name__ == "__main__":
    print(error(sys.argv[1]))
