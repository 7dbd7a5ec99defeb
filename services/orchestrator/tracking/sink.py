"""What a tracking backend implements."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core.schemas.results import TrainResult
from core.schemas.specs import TrainSpec


@dataclass(frozen=True)
class Tracked:
    """A training that is tracked."""

    run_id: str
    spec: TrainSpec

    @property
    def name(self) -> str:
        """Unique inside an experiment: `matched-keras-s0`."""
        return f"{self.spec.arm}-{self.spec.framework}-s{self.spec.seed}"


@dataclass(frozen=True)
class Layer:
    """One layer of a network, for its graph."""

    path: str
    type: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Outcome:
    """A finished training."""

    result: TrainResult
    folder: Path
    """Its result object: `result.json`, and pictures such as augmented samples."""
    models: tuple[Path, ...]
    """Version folders of its artefacts, those that this machine can read."""
    layers: tuple[Layer, ...] = ()
    """The network, in order; empty where it could not be asked for."""


class Sink(Protocol):
    """One backend. Called from one thread; whatever it raises is logged once and ends its part of the tracking."""

    name: str

    def epoch(self, run: Tracked, number: int, values: dict[str, float]) -> None:
        """An epoch ended.

        Told again from the first one on when the training goes on in another process, and once more, perhaps with
        other figures, where an attempt was lost that had come further than its checkpoint.
        """

    def finished(self, run: Tracked, outcome: Outcome) -> None:
        """A training is done; told again for every later `bakeoff run` that finds it done."""

    def failed(self, run: Tracked, reason: str) -> None:
        """A training ended without a result; a later `bakeoff run` may tell it again, or that it goes on."""

    def scored(self, run: Tracked, name: str, values: dict[str, float]) -> None:
        """An artefact of a finished training was scored on test images; told again as `finished` is.

        Args:
            name: the artefact as it is served: `onnx`, `onnx-int8`, `onnx-openvino`.
            values: `accuracy` and `log_loss`.
        """

    def interrupted(self, run: Tracked) -> None:
        """A training stopped with its experiment; it goes on the next time that is started."""

    def pruned(self, run: Tracked) -> None:
        """A search stopped a training that was not worth going on with: nothing went wrong.

        A later `bakeoff run` may tell it again, or that it goes on.
        """
