"""The processes in which the own loaders of PyTorch and fastai decode originals."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from core.errors import ExhaustedError, InvalidInputError, KilledError
from core.schemas.recipe import Recipe
from trainer.originals import Originals
from trainer.shared_memory import SHARED_MEMORY, check_room, needed, room

NEWS_S = 1.0
"""How long a process's end may be known later than its connections break."""


def decoding_workers(recipe: Recipe, originals: Originals | None, default: int) -> int:
    """How many there are: the recipe's number, or the framework's default.

    None for arrays, which need no decoding. A default is none too where their batches, two ahead in each, would fill
    half of the shared memory they pass through (a container has 64 MB of it unless it asks for more), or where
    processes cannot start as forks, which our data sets need. The number is the same in every attempt: workers draw
    their own numbers.

    Raises:
        WrongStateError: there is no such room for the recipe's number.
    """
    if originals is None:
        return 0
    if recipe.workers is not None:
        check_room(recipe, originals.spec.shape)
        return recipe.workers
    return default if needed(default, recipe, originals.spec.shape) < room() else 0


@contextmanager
def own_words() -> Iterator[None]:
    """An error of a worker in its own words: torch puts them below a traceback.

    Raises:
        KilledError: one was killed.
        ExhaustedError: there is no room for its batches.
    """
    try:
        yield
    except InvalidInputError as error:
        raise InvalidInputError(str(error).rsplit(f"{InvalidInputError.__name__}: ", 1)[-1].strip()) from error
    except RuntimeError as error:
        if "</torch_" in str(error):  # A file of shared memory, whatever the reason.
            raise ExhaustedError(
                f"no room left in {SHARED_MEMORY} for batches of the processes that decode; write fewer "
                "recipe.workers, or 0, or give it more"
            ) from error
        # Torch raises it wherever the signal arrives: inside of a callback, fastai puts words of its own before it.
        _, news, told = str(error).partition("DataLoader worker (pid")
        if not news:
            raise
        raise KilledError(news + told) from error
    except (ConnectionError, EOFError) as error:
        if str(error).startswith("Caught "):  # By torch, in a process that lives.
            raise
        # Nothing else here has connections. What torch raises once, wherever the signal arrives, is waited for.
        with suppress(RuntimeError):
            time.sleep(NEWS_S)
        raise KilledError(f"a process that decodes is gone: {error}") from error
