"""Pretrained weights of an experiment, known by their bytes."""

from pathlib import Path

from core import files
from core.errors import NotFoundError
from core.schemas.experiment import Arm, Experiment
from core.schemas.recipe import IMAGENET


def pin_weights(experiment: Experiment) -> Experiment:
    """The experiment with the sha256 of every weight file it names: a changed file is another training.

    ImageNet's own files carry theirs in the name.

    Raises:
        NotFoundError: a file is not here, and its sha256 is not given either.
    """
    return experiment.model_copy(update={"arms": {name: _pin(name, arm) for name, arm in experiment.arms.items()}})


def _pin(name: str, arm: Arm) -> Arm:
    given = arm.recipe.pretrained
    if given is None or given.weights == IMAGENET or given.sha256 is not None:
        return arm
    path = Path(given.weights)
    if not path.is_file():
        raise NotFoundError(
            f"arms.{name}.recipe.pretrained: weights unavailable: no file {path.absolute()}; put it there or give "
            "another path, or its sha256 where only the trainer services see it"
        )
    pinned = given.model_copy(update={"weights": str(path.absolute()), "sha256": files.sha256_file(path)})
    return arm.model_copy(update={"recipe": arm.recipe.model_copy(update={"pretrained": pinned})})
