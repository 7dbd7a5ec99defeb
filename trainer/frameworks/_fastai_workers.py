"""The processes in which fastai's loader decodes originals."""

import multiprocessing
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import prod
from pathlib import Path

from core.errors import InvalidInputError, KilledError
from trainer.originals import Originals

SHARED_MEMORY = Path("/dev/shm")
MOST = 16
"""fastai's largest default, however many cores there are."""
NEWS_S = 1.0
"""How long a process's end may be known later than its connections break."""


def decoding_workers(originals: Originals | None, batch_size: int, threads: int) -> int:
    """How many there are: one for each thread of the training, 16 at most, as fastai's default is of the cores.

    None for arrays, which need no decoding; none where their batches, two ahead in each, would fill half of the shared
    memory they pass through (a container has 64 MB of it unless it asks for more); none where processes cannot start
    as forks, which our data sets need. The number is the same in every attempt: workers draw their own numbers.
    """
    if originals is None or "fork" not in multiprocessing.get_all_start_methods() or not SHARED_MEMORY.is_dir():
        return 0
    workers = min(MOST, threads)
    batches = (2 * workers + 1) * batch_size * prod(originals.spec.shape)
    return workers if batches < shutil.disk_usage(SHARED_MEMORY).total / 2 else 0


@contextmanager
def own_words() -> Iterator[None]:
    """An error of a worker in its own words: torch puts them below a traceback.

    Raises:
        KilledError: one was killed.
    """
    try:
        yield
    except InvalidInputError as error:
        raise InvalidInputError(str(error).rsplit(f"{InvalidInputError.__name__}: ", 1)[-1].strip()) from error
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise KilledError(str(error)) from error
    except (ConnectionError, EOFError) as error:
        if str(error).startswith("Caught "):  # By torch, in a process that lives.
            raise
        # Nothing else here has connections. What torch raises once, wherever the signal arrives, is waited for.
        with suppress(RuntimeError):
            time.sleep(NEWS_S)
        raise KilledError(f"a process that decodes is gone: {error}") from error
