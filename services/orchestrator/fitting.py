"""What of an experiment's arms does not fit its data, found before anything is prepared or trained."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from bakeoff.trainer.v1.trainer_service_pb2 import DescribeArchitectureResponse

from core.errors import BakeoffError
from core.recipe_fit import check_class_weights, check_normalization, thawed_from
from core.schemas.experiment import Experiment
from core.schemas.recipe import Recipe
from services.client.control import TrainerClient
from services.orchestrator import steps
from services.orchestrator.experiment_file import MisfitError

Networks = dict[str, DescribeArchitectureResponse]
"""Layer tables by the name of the network."""


def check_arms(experiment: Experiment, trainer: TrainerClient, classes: Sequence[str]) -> Networks:
    """The networks of arms and trials, as the trainer describes them for the images.

    Args:
        classes: of the source; empty where they are not known before its images are read.

    Raises:
        MisfitError: a network is unknown or does not fit the images; a recipe does not fit its network or the classes.
    """
    shape, found = experiment.data.image.shape, {}
    varied = experiment.search.space if experiment.search else {}
    for name, arm in experiment.arms.items():
        with _misfit("arms", name, "architecture"):
            found[arm.architecture] = network = trainer.describe(arm.architecture, shape, len(classes))
        with _misfit("arms", name, "recipe", "normalization"):
            check_normalization(arm.recipe, experiment.data.image)
        _check_recipe(name, arm.recipe, None if "architecture" in varied else network, classes)
    for architecture in steps.searched_architectures(experiment):
        with suppress(BakeoffError):  # Its trials will fail, each with the reason.
            found[architecture] = trainer.describe(architecture, shape, len(classes))
    return found


def _check_recipe(
    arm: str, recipe: Recipe, network: DescribeArchitectureResponse | None, classes: Sequence[str]
) -> None:
    """Without a network (a search varies it) or classes, what depends on them is left to the trainer."""
    if classes:
        with _misfit("arms", arm, "recipe", "class_weights"):
            check_class_weights(recipe.class_weights, classes)
    if network is not None:
        with _misfit("arms", arm, "recipe", "freeze"):
            thawed_from(recipe, network.name, _trunk(network))


def _trunk(network: DescribeArchitectureResponse) -> dict[str, bool]:
    """The outermost layers, each with whether it or what is inside it has weights."""
    found: dict[str, bool] = {}
    for row in network.layers:
        path = row.path.split(".")[0]
        found[path] = found.get(path, False) or row.parameters > 0
    return found


@contextmanager
def _misfit(*key: str) -> Iterator[None]:
    """An error inside is that of a key of the experiment file."""
    try:
        yield
    except BakeoffError as error:
        raise MisfitError(key, str(error)) from error
