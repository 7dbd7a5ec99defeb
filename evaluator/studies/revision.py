"""Whether a kept result was measured with its experiment file and the loaders as they are now, and who judges it."""

from typing import Any

from core.schemas.experiment import Experiment
from core.schemas.names import Framework
from core.schemas.study import Study
from core.schemas.summary import Summary

PLACES = ("path", "name")
"""Of a data source: where the images lie on one machine, which `--data` replaces."""

WITH_WORKERS: tuple[Framework, ...] = ("pytorch", "fastai")
"""Whose own loaders have worker processes for decoding."""


def changed_keys(kept: Experiment, committed: Experiment) -> tuple[str, ...]:
    """The keys of an experiment file in which two frozen experiments differ.

    Places of images and digests of weights do not count: they are a machine's, not the file's. Neither does `study`:
    what is claimed judges a measurement and is no part of it.
    """
    ours, theirs = _of_the_file(kept), _of_the_file(committed)
    return tuple(key for key in ours if ours[key] != theirs[key])


def study_now(kept: Experiment, committed: Experiment) -> Study | None:
    """The study a result is judged by: the file's as it is now, as long as the rest of the file is what was measured.

    Where that is another one, the claims of today may be about arms that never ran, so the result keeps its own.
    """
    return kept.study if changed_keys(kept, committed) else committed.study


def without_workers(summary: Summary) -> tuple[Framework, ...]:
    """The frameworks whose own loaders decoded originals in the training's own process, without worker processes.

    A result does not say so. But workers came in the same change as the count of the images trained on, so trainings
    without that count are older. Digits are arrays, which nothing decodes.
    """
    if Experiment.model_validate_json(summary.spec_json).data.source.kind == "digits":
        return ()
    own = {arm.name for arm in summary.arms if arm.recipe.pipeline == "framework"}
    trained = [training for training in summary.trainings if training.arm in own]
    older = {one.framework for one in trained if any(epoch.train_images is None for epoch in one.history)}
    return tuple(framework for framework in WITH_WORKERS if framework in older)


def _of_the_file(experiment: Experiment) -> dict[str, Any]:
    document = experiment.model_dump(mode="json", exclude={"study"})
    source = document["data"]["source"]
    document["data"]["source"] = {key: value for key, value in source.items() if key not in PLACES}
    for arm in document["arms"].values():
        if arm["recipe"]["pretrained"]:
            arm["recipe"]["pretrained"]["sha256"] = None
    return document
