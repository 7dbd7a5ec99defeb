"""Pictures of augmented training images, one for each way they were made."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.schemas.summary import Training
from evaluator import text


@dataclass(frozen=True)
class Augmented:
    """A grid that a training stored: each line one image as prepared, then as the network saw it."""

    title: str
    """Arm and frameworks."""
    data_uri: str


def augmented(trainings: Sequence[Training], pictures: Mapping[str, bytes]) -> tuple[Augmented, ...]:
    """One picture for each arm and framework, of its first training; frameworks with equal pictures share one.

    Args:
        pictures: PNG files by run id.
    """
    found: dict[tuple[str, bytes], list[str]] = {}
    seen: set[tuple[str, str]] = set()
    for training in trainings:
        key = (training.arm, training.framework)
        if training.run_id in pictures and key not in seen:
            seen.add(key)
            found.setdefault((training.arm, pictures[training.run_id]), []).append(text.framework(training.framework))
    return tuple(
        Augmented(f"{arm}: {', '.join(names)}", f"data:image/png;base64,{base64.b64encode(png).decode()}")
        for (arm, png), names in found.items()
    )
