"""Keras 3 on TensorFlow: functional models trained with Model.fit.

What `framework` and None mean here, all of it Keras's own:
- initializer: Glorot uniform kernels, zero biases.
- pipeline: arrays given to `Model.fit`, which shuffles them and scores `validation_data`, and `keras.layers.Dropout`.
- optimizer: `keras.optimizers.Adam` (rate 1e-3, β 0.9 and 0.999, ε 1e-7) and `SGD` (rate 1e-2, no momentum).
- batch norm: momentum 0.99, ε 1e-3.
- arithmetic: Adam's ε is added before bias correction, the running variance is the biased one, momentum keeps rate·v.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import NotFoundError
from core.formats import get_format
from core.runtimes._tensorflow import set_threads
from core.schemas.recipe import Adam, Recipe
from core.schemas.results import EpochMetrics
from trainer.batches import Batch, steps_per_epoch
from trainer.framework import BuildSettings, Callbacks, Inspection, State, TrainingData
from trainer.frameworks import _tf
from trainer.frameworks._tf import tf
from trainer.layers import Architecture
from trainer.weights import Weights, check

os.environ["KERAS_BACKEND"] = "tensorflow"
