"""Checkpoints of a training: one file per run, replaced atomically after an epoch."""

import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from core import files
from core.errors import InvalidInputError
from core.schemas.metrics import EpochMetrics
from trainer.framework import State
from trainer.weights import Weights

NAME = "checkpoint.npz"
HISTORY, ORIGIN, FIRST_LOSS = "history.json", "origin.txt", "first_loss"
HISTORIES: TypeAdapter[tuple[EpochMetrics, ...]] = TypeAdapter(tuple[EpochMetrics, ...])


@dataclass(frozen=True)
class Checkpoint:
    """Everything a training needs to go on after its last finished epoch."""

    history: tuple[EpochMetrics, ...]
    state: State
    best: Weights | None = None
    """Canonical weights of the best epoch, where the recipe keeps them."""
    first_loss: float | None = None
    """Of the training's first step."""

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)


def save(
    folder: Path,
    origin: str,
    history: Sequence[EpochMetrics],
    state: State,
    best: Weights | None = None,
    first_loss: float | None = None,
) -> None:
    """Writes a checkpoint in one rename: weights, optimiser and history belong together or not at all.

    Args:
        origin: what was trained, in words; only the same training may go on from here.
    """
    texts = {HISTORY: json.dumps([metrics.model_dump() for metrics in history]), ORIGIN: origin}
    arrays: dict[str, Any] = {name: np.frombuffer(text.encode(), np.uint8) for name, text in texts.items()}
    arrays |= {f"state/{key}": value for key, value in state.items()}
    arrays |= {f"best/{key}": value for key, value in (best or {}).items()}
    if first_loss is not None:
        arrays[FIRST_LOSS] = np.float64(first_loss)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    files.write_bytes(folder / NAME, buffer.getvalue())


def load(folder: Path, origin: str) -> Checkpoint | None:
    """The last checkpoint; None where there is none.

    Raises:
        InvalidInputError: it is damaged, or another training's.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        # From memory: of a damaged file numpy would leave the handle open.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            history = HISTORIES.validate_json(archive[HISTORY].tobytes())
            found = archive[ORIGIN].tobytes().decode() if ORIGIN in archive.files else origin
            first = float(archive[FIRST_LOSS]) if FIRST_LOSS in archive.files else None
            state, best = (_below(prefix, archive) for prefix in ("state/", "best/"))
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InvalidInputError(f"{path} is damaged ({error}); remove it and the training starts afresh") from error
    if found != origin:
        raise InvalidInputError(
            f"{path} belongs to another training: {found}, not {origin}; remove it and the training starts afresh"
        )
    return Checkpoint(history, state, best or None, first)


def _below(prefix: str, archive: Any) -> State:
    return {key.removeprefix(prefix): archive[key] for key in archive.files if key.startswith(prefix)}
