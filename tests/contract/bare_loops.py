"""Parameters of the speed benchmark's bare loops, in a process of its own: `python -m tests.contract.bare_loops NAME`.

Prints one JSON object: network to the parameters of the bare loop's and those of ours.
"""

import importlib
import json
import math
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from trainer.architectures import get_architecture

BENCH = Path(__file__).parents[2] / "tools" / "bench_training"
IMAGES = 8


def trained(framework: str, network: str) -> int:
    """Parameters of the network that a bare loop trains, after an epoch of it."""
    from tools.bench_training.__main__ import NETWORKS

    shape, filters, padding = NETWORKS[network]
    images, labels = np.zeros((IMAGES, *shape), np.uint8), np.zeros(IMAGES, np.int64)
    loop: Generator[float, None, None] = importlib.import_module(f"bare_{framework}").epochs(
        images, labels, filters, padding, IMAGES // 2
    )
    assert next(loop) > 0
    assert loop.gi_frame is not None
    held: dict[str, Any] = loop.gi_frame.f_locals
    counts = {
        "keras": lambda: held["model"].count_params(),
        "tensorflow": lambda: sum(math.prod(variable.shape) for variable in held["variables"]),
        "pytorch": lambda: sum(parameter.numel() for parameter in held["model"].parameters()),
        "fastai": lambda: sum(parameter.numel() for parameter in held["learn"].model.parameters()),
    }
    count = int(counts[framework]())
    loop.close()
    return count


def ours(network: str) -> int:
    """Parameters of the network of that name."""
    from tools.bench_training.__main__ import NETWORKS

    return get_architecture(network, NETWORKS[network][0], 10).count(trainable=True)


if __name__ == "__main__":
    from tools.bench_training.__main__ import NETWORKS

    sys.path.insert(0, str(BENCH))
    print(json.dumps({network: [trained(sys.argv[1], network), ours(network)] for network in NETWORKS}))
