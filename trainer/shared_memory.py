"""The shared memory through which processes that decode pass their batches to the training. No framework."""

import multiprocessing
import shutil
from math import prod
from pathlib import Path

from core.errors import WrongStateError
from core.schemas.recipe import Recipe

SHARED_MEMORY = Path("/dev/shm")


def check_room(recipe: Recipe, shape: tuple[int, ...]) -> None:
    """Raises WrongStateError where the recipe's workers have no room for batches of images of that shape."""
    wanted, free = needed(recipe.workers or 0, recipe, shape), room()
    if recipe.workers and wanted >= free:
        raise WrongStateError(
            f"recipe.workers {recipe.workers} pass {wanted >> 20} MiB of batches through {SHARED_MEMORY}, which has "
            f"room for {free >> 20} MiB (half of it; none without forks); write fewer, or 0, or give it more"
        )


def needed(workers: int, recipe: Recipe, shape: tuple[int, ...]) -> int:
    """Bytes of the batches that are on their way: two ahead in each process, and one."""
    return (2 * workers + 1) * recipe.batch * prod(shape)


def room() -> int:
    """Bytes that batches may take, half of it; 0 where processes cannot start as forks, which our data sets need."""
    possible = "fork" in multiprocessing.get_all_start_methods() and SHARED_MEMORY.is_dir()
    return shutil.disk_usage(SHARED_MEMORY).total // 2 if possible else 0
