"""Whether a kept result was measured with its experiment file as the file is now, and by whose claims it is judged."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.schemas.experiment import FULL, Experiment
from core.schemas.study import Study
from evaluator import text

PLACES = ("path", "name")
"""Of a data source: where the images lie on one machine, which `--data` replaces."""


@dataclass(frozen=True)
class Revision:
    """How a result that was not measured with its file as the file is now stands to it."""

    experiment: str
    scale: str
    keys: tuple[str, ...] | None
    """In which they differ; None: there is no such file, or no such scale in it."""

    @property
    def mark(self) -> str:
        """Behind a verdict."""
        return " (not in experiments/)" if self.keys is None else " (earlier revision or override)"

    @property
    def note(self) -> str:
        """What a reader of the result must know, as Markdown."""
        if self.keys is None:
            scale = f" with a scale `{self.scale}`" if self.scale != FULL else ""
            return f"> **Not in experiments/:** there is no `{self.experiment}.yaml`{scale}. Its claims are its own."
        keys = text.names([f"`{key}`" for key in self.keys])
        return (
            f"> **An earlier revision, or overridden:** what was measured differs from `{self.experiment}.yaml` in "
            f"{keys}. Its claims are those it was run with."
        )


Revisions = Mapping[str, Revision]
"""By the name of the result; none of one that was measured with its file as it is."""


def revision(kept: Experiment, committed: Experiment | None) -> Revision | None:
    """How a result stands to its file; None where it is what the file says."""
    if committed is None:
        return Revision(kept.name, kept.scale, None)
    keys = changed_keys(kept, committed)
    return Revision(kept.name, kept.scale, keys) if keys else None


def changed_keys(kept: Experiment, committed: Experiment) -> tuple[str, ...]:
    """The keys of an experiment file in which two frozen experiments differ.

    Places of images and digests of weights do not count: they are a machine's, not the file's. Neither do `study`,
    `title` and `description`: what is claimed and said of a measurement is no part of it.
    """
    ours, theirs = _of_the_file(kept), _of_the_file(committed)
    return tuple(key for key in ours if ours[key] != theirs[key])


def study_now(kept: Experiment, committed: Experiment) -> Study | None:
    """The study a result is judged by: the file's as it is now, as long as the rest of the file is what was measured.

    Where that is another one, the claims of today may be about arms that never ran, so the result keeps its own.
    """
    # Another split is compared in a section of its own, which no claim is about.
    return kept.study if {*changed_keys(kept, committed)} - {"other_split"} else committed.study


def _of_the_file(experiment: Experiment) -> dict[str, Any]:
    document = experiment.model_dump(mode="json", exclude={"study", "title", "description"})
    source = document["data"]["source"]
    document["data"]["source"] = {key: value for key, value in source.items() if key not in PLACES}
    for arm in document["arms"].values():
        if arm["recipe"]["pretrained"]:
            arm["recipe"]["pretrained"]["sha256"] = None
    return document
