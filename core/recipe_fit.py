"""Whether a recipe fits the classes and the network: asked before an experiment starts, and before each training."""

from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Literal

from core.errors import InvalidInputError
from core.schemas.data import ImageSpec
from core.schemas.recipe import HEAD, Recipe


def check_class_weights(given: Literal["balanced"] | Mapping[str, float] | None, classes: Collection[str]) -> None:
    """Raises InvalidInputError where a weight is given for a class that is not there."""
    if given is None or given == "balanced":
        return
    weights: Mapping[str, float] = given
    if unknown := sorted(weights.keys() - set(classes)):
        raise InvalidInputError(
            f"recipe.class_weights names {', '.join(map(repr, unknown))}; the classes are {', '.join(classes)}"
        )


def check_normalization(recipe: Recipe, image: ImageSpec) -> None:
    """Raises InvalidInputError where the figures are for colours and the images are grey."""
    if recipe.normalization == "imagenet" and image.channels != 3:
        raise InvalidInputError(
            "recipe.normalization imagenet needs colour images; write image: {color: rgb}, or another normalization"
        )


def thawed_from(recipe: Recipe, network: str, trunk: Mapping[str, bool]) -> list[int]:
    """Index in the trunk of the first layer that learns, for each stage of `freeze`.

    Args:
        network: its name, for errors.
        trunk: the outermost layers in order, each with whether weights in it are trained.

    Raises:
        InvalidInputError: a stage names no layer of the trunk that has layers with weights before it, or thaws nothing.
    """
    found = [_position(stage.until, network, trunk) for stage in recipe.freeze]
    trained = list(trunk.values())
    if any(not any(trained[later:earlier]) for earlier, later in pairwise(found)):
        names = ", ".join(stage.until for stage in recipe.freeze)
        raise InvalidInputError(f"recipe.freeze: each stage must thaw more than the one before it, got until: {names}")
    return found


def _position(until: str, network: str, trunk: Mapping[str, bool]) -> int:
    paths = list(trunk)
    if until == HEAD:
        return len(paths) - 1
    if until not in trunk:
        raise InvalidInputError(
            f"recipe.freeze.until {until!r} is no layer of {network}'s trunk; layers: {', '.join(paths)}"
        )
    cut = paths.index(until)
    before, after = (any(trunk[path] for path in part) for part in (paths[:cut], paths[cut:]))
    if not before or not after:
        raise InvalidInputError(
            f"recipe.freeze.until {until!r} leaves {'nothing to freeze' if not before else 'nothing to train'} in "
            f"{network}; name a layer between the first and the last one with weights, or {HEAD}"
        )
    return cut
