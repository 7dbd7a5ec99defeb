"""Whether a kept result was measured with its experiment file as the file is now."""

from typing import Any

from core.schemas.experiment import Experiment

PLACES = ("path", "name")
"""Of a data source: where the images lie on one machine, which `--data` replaces."""


def changed_keys(kept: Experiment, committed: Experiment) -> tuple[str, ...]:
    """The keys of an experiment file in which two frozen experiments differ.

    Places of images and digests of weights do not count: they are a machine's, not the file's.
    """
    ours, theirs = _of_the_file(kept), _of_the_file(committed)
    return tuple(key for key in ours if ours[key] != theirs[key])


def _of_the_file(experiment: Experiment) -> dict[str, Any]:
    document = experiment.model_dump(mode="json")
    source = document["data"]["source"]
    document["data"]["source"] = {key: value for key, value in source.items() if key not in PLACES}
    for arm in document["arms"].values():
        if arm["recipe"]["pretrained"]:
            arm["recipe"]["pretrained"]["sha256"] = None
    return document
