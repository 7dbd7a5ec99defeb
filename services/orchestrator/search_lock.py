"""Where searches are kept, and that one command at a time runs each; apart from them, because they import Optuna."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core import files
from core.schemas.experiment import Experiment

SEARCHES = "search"
"""Folder of Optuna's databases in the home folder."""


@contextmanager
def alone(experiment: Experiment, home: Path) -> Iterator[None]:
    """Keeps a second command from the same search while the block runs.

    Optuna's storage does not know whose a trial is: the other one would take those in work for interrupted ones.

    Raises:
        WrongStateError: another command runs it.
    """
    if experiment.search is None:
        yield
        return
    path = home / SEARCHES / f".{experiment.name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    other = (path.read_text() if path.is_file() else "") or "another command"
    busy = f"{other} runs the search of {experiment.name}; wait for its end, or stop it and run this again"
    with files.lock(path, busy) as hold:
        hold.truncate(0)
        hold.write(f"process {os.getpid()} on {socket.gethostname()}")
        hold.flush()
        yield
