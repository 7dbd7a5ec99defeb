"""The stages of a training: which layers are fixed, and at what share of the learning rate the others learn."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from core.recipe_fit import thawed_from
from core.schemas.recipe import Recipe
from trainer.architectures.imagenet import RESNET_BLOCKS, third_stage
from trainer.framework import Callbacks
from trainer.layers import Architecture, BatchNorm


@dataclass(frozen=True)
class Phase:
    """Consecutive epochs with one optimiser and one run of the schedule."""

    first: int
    """First epoch, from 1."""
    last: int
    shares: dict[str, float] = field(default_factory=dict)
    """Layer of the network's trunk to its share of the learning rate; 0: fixed."""

    @property
    def epochs(self) -> int:
        return self.last - self.first + 1

    def share(self, path: str) -> float:
        """Of the layer, or canonical weight, at a path; layers inside a residual block follow the block."""
        return self.shares.get(trunk_layer(path), 1.0)

    def trains(self, path: str) -> bool:
        """Whether a layer or canonical weight learns."""
        return self.share(path) > 0.0

    @property
    def whole(self) -> bool:
        """Whether everything learns at the same rate."""
        return all(share == 1.0 for share in self.shares.values())


def phases(recipe: Recipe, architecture: Architecture) -> tuple[Phase, ...]:
    """The stages of a recipe in order; one where nothing is frozen.

    Raises:
        InvalidInputError: a stage names no layer of the trunk that has layers with weights before it, or thaws nothing.
    """
    paths = [node.path for node in architecture.nodes]
    cuts = thawed_from(recipe, architecture.name, _trunk(architecture))
    found, first = [], 1
    for stage, cut in zip(recipe.freeze, cuts, strict=True):
        shares = {path: float(index >= cut) for index, path in enumerate(paths)}
        found.append(Phase(first, first + stage.epochs - 1, shares))
        first += stage.epochs
    if first <= recipe.epochs:
        found.append(Phase(first, recipe.epochs, _discriminative(rate_groups(recipe, architecture), recipe)))
    return tuple(found)


def remaining(recipe: Recipe, architecture: Architecture, callbacks: Callbacks) -> Iterator[tuple[Phase, range]]:
    """The phases still to do, each with its epochs left; ends once the callbacks want no more epochs."""
    for phase in phases(recipe, architecture):
        left = range(max(phase.first, callbacks.resume_epoch + 1), phase.last + 1)
        if callbacks.stopped:
            return
        if left:
            yield phase, left


def rate_groups(recipe: Recipe, architecture: Architecture) -> dict[str, int]:
    """Layer of the trunk to its group, from 0 for the first layers: groups begin where the stages of `freeze` do.

    A head that is thawed alone says nothing of the layers before it. Those of a ResNet are then two groups, cut where
    fastai's `vision_learner` cuts them.
    """
    paths = [node.path for node in architecture.nodes]
    cuts = thawed_from(recipe, architecture.name, _trunk(architecture))
    if cuts == [len(paths) - 1] and architecture.name in RESNET_BLOCKS:
        cuts = [*cuts, paths.index(third_stage(architecture.name))]
    return {path: sum(index >= cut for cut in cuts) for index, path in enumerate(paths)}


def trunk_layer(path: str) -> str:
    """The outermost layer that the layer, or canonical weight, at a path is in."""
    return path.split(".")[0].split("/")[0]


def _trunk(architecture: Architecture) -> dict[str, bool]:
    """The layers of the trunk, each with whether weights in it, or inside it, are trained."""
    trained = {trunk_layer(key) for key, p in architecture.parameters.items() if p.trainable}
    return {node.path: node.path in trained for node in architecture.nodes}


def _discriminative(groups: dict[str, int], recipe: Recipe) -> dict[str, float]:
    """Shares of the layers by group, from 1 / `discriminative` in the first to 1 in the last."""
    last = max(groups.values())
    return {path: recipe.discriminative ** (group / last - 1.0) if last else 1.0 for path, group in groups.items()}


def fixed_norms(architecture: Architecture, phase: Phase) -> tuple[str, ...]:
    """Paths of the batch norms that do not learn in a phase."""
    norms = (node.path for _, node in architecture.walk() if isinstance(node.layer, BatchNorm))
    return tuple(path for path in norms if not phase.trains(path))
