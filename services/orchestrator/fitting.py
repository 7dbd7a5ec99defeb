"""What of an experiment's arms does not fit its data or the trainers, found before anything is trained."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from bakeoff.trainer.v1.trainer_service_pb2 import DescribeArchitectureResponse

from core.errors import InvalidInputError, NotFoundError, WrongStateError
from core.recipe_fit import check_class_weights, check_normalization, thawed_from
from core.schemas.experiment import Experiment
from core.schemas.recipe import Recipe
from core.schemas.specs import TrainSpec
from services.client.control import TrainerClient
from services.orchestrator import steps
from services.orchestrator.experiment_file import Misfit, MisfitError
from services.orchestrator.steps import Step

Networks = dict[str, DescribeArchitectureResponse]
"""Layer tables by the name of the network."""
WRONG = (InvalidInputError, NotFoundError)
"""Mistakes in what was asked for; any other error is the service's."""
REFUSED = (InvalidInputError, WrongStateError)
"""How a trainer refuses a training; the second where it has not the images, or not the framework."""


def check_arms(experiment: Experiment, trainer: TrainerClient, classes: Sequence[str]) -> Networks:
    """The networks of arms and trials, as the trainer describes them for the images.

    Args:
        classes: of the source; empty where they are not known before its images are read.

    Raises:
        MisfitError: a network is unknown or does not fit the images; a recipe does not fit its network or the classes.
    """
    shape = experiment.data.image.shape
    found: Networks = {}
    misfits: list[Misfit] = []
    varied = experiment.search.space if experiment.search else {}
    for name, arm in experiment.arms.items():
        network = None
        with _noted(misfits, name, "architecture"):
            found[arm.architecture] = network = trainer.describe(arm.architecture, shape, len(classes))
        with _noted(misfits, name, "recipe", "normalization"):
            check_normalization(arm.recipe, experiment.data.image)
        _check_recipe(misfits, name, arm.recipe, None if "architecture" in varied else network, classes)
    if misfits:
        raise MisfitError(misfits)
    for architecture in steps.searched_architectures(experiment):
        with suppress(*WRONG):  # Its trials will fail, each with the reason.
            found[architecture] = trainer.describe(architecture, shape, len(classes))
    return found


def check_trainings(trainings: Sequence[Step], connect: Callable[[str], TrainerClient]) -> None:
    """Asks every trainer whether it would take what it is to train, once an arm: a seed changes nothing of that.

    Args:
        connect: gives the client of a service.

    Raises:
        MisfitError: trainings would be refused, each arm with all that is wrong. Weights that are not there are no
            reason.
        BakeoffError: a trainer cannot say.
    """
    first: dict[tuple[str, str], Step] = {}
    refused: dict[tuple[str, str], list[str]] = {}
    for step in trainings:
        assert isinstance(step.spec, TrainSpec)
        first.setdefault((step.spec.arm, step.spec.framework), step)
    for (arm, framework), step in first.items():
        with connect(step.service) as trainer:
            try:
                trainer.check(step.spec)
            except NotFoundError:
                # Weights that are nowhere: nobody downloads them, so this training fails alone, and claims say why.
                continue
            except REFUSED as error:
                refused.setdefault((arm, str(error)), []).append(framework)
    if refused:
        raise MisfitError([
            Misfit(("arms", arm), f"cannot be trained with {', '.join(frameworks)}: {why}")
            for (arm, why), frameworks in refused.items()
        ])  # fmt: skip


def _check_recipe(
    misfits: list[Misfit],
    arm: str,
    recipe: Recipe,
    network: DescribeArchitectureResponse | None,
    classes: Sequence[str],
) -> None:
    """Without a network (a search varies it) or classes, what depends on them is left to the trainer."""
    if classes:
        with _noted(misfits, arm, "recipe", "class_weights"):
            check_class_weights(recipe.class_weights, classes)
    if network is not None:
        with _noted(misfits, arm, "recipe", "freeze"):
            thawed_from(recipe, network.name, _trunk(network))


def _trunk(network: DescribeArchitectureResponse) -> dict[str, bool]:
    """The outermost layers, each with whether it or what is inside it has weights."""
    found: dict[str, bool] = {}
    for row in network.layers:
        path = row.path.split(".")[0]
        found[path] = found.get(path, False) or row.parameters > 0
    return found


@contextmanager
def _noted(misfits: list[Misfit], arm: str, *key: str) -> Iterator[None]:
    """A mistake inside is that of a key of an arm."""
    try:
        yield
    except WRONG as error:
        misfits.append(Misfit(("arms", arm, *key), str(error)))
