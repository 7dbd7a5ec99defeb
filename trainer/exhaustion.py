"""A training that finds no memory says so in the terms of its recipe, whichever library ran out of it."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import ExhaustedError
from core.runtimes.devices import Device
from core.schemas.data import ImageSpec
from core.schemas.specs import FindRateSpec, TrainSpec

TORCH_WORDS = ("can't allocate memory", "not enough memory", "out of memory")
"""One of them is in every such RuntimeError of torch's; it has a type of its own for CUDA's allocator alone."""


@contextmanager
def named(spec: TrainSpec | FindRateSpec, image: ImageSpec, device: Device) -> Iterator[None]:
    """Raises ExhaustedError where the block runs out of memory; any other error as it is."""
    try:
        yield
    except Exception as error:
        if not _is_memory(error):
            raise
        raise ExhaustedError(
            f"out of memory on {device} with batches of {spec.recipe.batch} images of "
            f"{'×'.join(map(str, image.shape))} ({spec.architecture}); lower recipe.batch_size or data.image"
        ) from error


def _is_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    # Looked up, not imported: only the framework that trains is loaded.
    if (tensorflow := sys.modules.get("tensorflow")) and isinstance(error, tensorflow.errors.ResourceExhaustedError):
        return True
    return "torch" in sys.modules and isinstance(error, RuntimeError) and any(map(str(error).__contains__, TORCH_WORDS))
