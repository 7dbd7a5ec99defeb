"""Checkpoints of a training: one file per run, replaced atomically after an epoch."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from core import files
from core.schemas.results import EpochMetrics
from trainer.framework import State
from trainer.weights import Weights

NAME = "checkpoint.npz"
HISTORY = "history.json"
HISTORIES: TypeAdapter[tuple[EpochMetrics, ...]] = TypeAdapter(tuple[EpochMetrics, ...])


@dataclass(frozen=True)
class Checkpoint:
    """Everything a training needs to go on after its last finished epoch."""

    history: tuple[EpochMetrics, ...]
    state: State
    best: Weights | None = None
    """Canonical weights of the best epoch, where the recipe keeps them."""

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)


def save(folder: Path, history: Sequence[EpochMetrics], state: State, best: Weights | None = None) -> None:
    """Writes a checkpoint in one rename: weights, optimiser and history belong together or not at all."""
    text = json.dumps([metrics.model_dump() for metrics in history])
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {f"state/{key}": value for key, value in state.items()}
    arrays |= {f"best/{key}": value for key, value in (best or {}).items()}
    np.savez(buffer, allow_pickle=False, **arrays, **{HISTORY: np.frombuffer(text.encode(), np.uint8)})
    files.write_bytes(folder / NAME, buffer.getvalue())


def load(folder: Path) -> Checkpoint | None:
    """The last checkpoint; None where there is none."""
    path = folder / NAME
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as archive:
        history = HISTORIES.validate_json(archive[HISTORY].tobytes())
        state, best = (_below(prefix, archive) for prefix in ("state/", "best/"))
    return Checkpoint(history, state, best or None)


def _below(prefix: str, archive: Any) -> State:
    return {key.removeprefix(prefix): archive[key] for key in archive.files if key.startswith(prefix)}
