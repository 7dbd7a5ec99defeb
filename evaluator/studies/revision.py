"""Whether a kept result was measured with its experiment file as the file is now, and by whose claims it is judged."""

from typing import Any

from core.schemas.experiment import Experiment
from core.schemas.study import Study

PLACES = ("path", "name")
"""Of a data source: where the images lie on one machine, which `--data` replaces."""


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
