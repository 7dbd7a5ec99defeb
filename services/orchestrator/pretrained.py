"""Pretrained weights of an experiment, known by their bytes."""

from pathlib import Path

from core import files, imagenet
from core.errors import NotFoundError
from core.schemas.experiment import Arm, Experiment
from core.schemas.recipe import IMAGENET, Pretrained
from services.orchestrator.steps import searched_architectures


def pin_weights(experiment: Experiment) -> Experiment:
    """The experiment with the sha256 of every weight file it names: a changed file is another training.

    ImageNet's own files carry theirs in the name, to which the trainers hold them; a converted one does not. Where it
    lies in this machine's cache, it is the one that is meant; where only the trainer services have it, they refuse it
    until its sha256 is given.

    Raises:
        NotFoundError: a file is not here, and its sha256 is not given either.
    """
    # Trials of several networks have a file each, and the arm holds one hash: they are pinned one by one.
    several = bool(searched_architectures(experiment))
    arms = {name: _pin(name, arm, several) for name, arm in experiment.arms.items()}
    return experiment.model_copy(update={"arms": arms})


def pin_imagenet(arm: Arm) -> Arm:
    """The arm with the sha256 of the converted file that its network has in this machine's cache, if it has one."""
    given = arm.recipe.pretrained
    if given is None or given.weights != IMAGENET or given.sha256 is not None or arm.architecture not in imagenet.FILES:
        return arm
    converted = imagenet.converted(arm.architecture)
    return _pinned(arm, given, IMAGENET, converted) if converted.is_file() else arm


def _pin(name: str, arm: Arm, several: bool) -> Arm:
    given = arm.recipe.pretrained
    if given is None or given.sha256 is not None:
        return arm
    if given.weights == IMAGENET:
        return arm if several else pin_imagenet(arm)
    path = Path(given.weights)
    if not path.is_file():
        raise NotFoundError(
            f"arms.{name}.recipe.pretrained: weights unavailable: no file {path.absolute()}; put it there or give "
            "another path, or its sha256 where only the trainer services see it"
        )
    return _pinned(arm, given, str(path.absolute()), path)


def _pinned(arm: Arm, given: Pretrained, weights: str, path: Path) -> Arm:
    pretrained = given.model_copy(update={"weights": weights, "sha256": files.sha256_file(path)})
    return arm.model_copy(update={"recipe": arm.recipe.model_copy(update={"pretrained": pretrained})})
