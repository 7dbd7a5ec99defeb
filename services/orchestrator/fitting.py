"""What of an experiment's arms does not fit its data or the trainers, found before anything is trained."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from typing import TypeVar

from bakeoff.trainer.v1.trainer_service_pb2 import DescribeArchitectureResponse

from core.errors import InvalidInputError, NotFoundError, WrongStateError
from core.recipe_fit import check_class_weights, check_normalization, thawed_from
from core.schemas.experiment import Experiment
from core.schemas.names import Framework
from core.schemas.recipe import Recipe
from core.schemas.specs import TrainSpec
from services.client.control import TrainerClient
from services.orchestrator import steps
from services.orchestrator.experiment_file import Misfit, MisfitError
from services.orchestrator.steps import Step

KeyT = TypeVar("KeyT")
Networks = dict[str, DescribeArchitectureResponse]
"""Layer tables by the name of the network."""
WRONG = (InvalidInputError, NotFoundError)
"""Mistakes in what was asked for; any other error is the service's."""
REFUSED = (InvalidInputError, WrongStateError)
"""How a trainer refuses a training; the second where it has not the images, or not the framework."""
REASONS_TOLD = 3


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
    first: dict[tuple[str, Framework], Step] = {}
    for step in trainings:
        assert isinstance(step.spec, TrainSpec)
        first.setdefault((step.spec.arm, step.spec.framework), step)
    todo: dict[str, dict[tuple[str, Framework], Step]] = {}
    for key, step in first.items():
        todo.setdefault(step.service, {})[key] = step
    # Each looks at weights and originals for itself, so all at once. The channels close before the pool waits for its
    # threads: whoever interrupts, or hears from one trainer that it cannot say, does not wait for the others.
    with ThreadPoolExecutor(max(1, len(todo))) as pool, _connected(connect, todo) as trainers:
        asked = [pool.submit(_refusals, trainers[service], steps) for service, steps in todo.items()]
        ended, _ = wait(asked, return_when=FIRST_EXCEPTION)
        refusals = dict(entry for answer in ended for entry in answer.result().items())
    refused: dict[tuple[str, str], list[str]] = {}
    for arm, framework in first:
        if why := refusals[arm, framework]:
            refused.setdefault((arm, why), []).append(framework)
    if refused:
        raise MisfitError([
            Misfit(("arms", arm), f"cannot be trained with {', '.join(frameworks)}: {why}")
            for (arm, why), frameworks in refused.items()
        ])  # fmt: skip


def check_trials(trials: Sequence[Step], invalid: Sequence[str], connect: Callable[[str], TrainerClient]) -> None:
    """Asks the trainer whether it would take any trial of a search; a bad one fails alone, all of them are a mistake.

    Args:
        trials: every one there can be, asked about until one is taken; none: they cannot be listed.
        invalid: why other parameters make no arm.

    Raises:
        MisfitError: none would be taken.
        BakeoffError: the trainer cannot say.
    """
    if not trials and not invalid:
        return
    reasons = list(invalid)
    with _connected(connect, {step.service for step in trials}) as trainers:
        for step in trials:
            if not (why := _refusal(trainers[step.service], step)):
                return
            reasons.append(why)
    told = list(dict.fromkeys(reasons))
    more = f"; and {len(told) - REASONS_TOLD} other reasons" if len(told) > REASONS_TOLD else ""
    raise MisfitError([Misfit(("search", "space"), f"no trial can be trained: {'; '.join(told[:REASONS_TOLD])}{more}")])


def _refusals(trainer: TrainerClient, steps: dict[KeyT, Step]) -> dict[KeyT, str]:
    return {key: _refusal(trainer, step) for key, step in steps.items()}


def _refusal(trainer: TrainerClient, step: Step) -> str:
    """Why a trainer would refuse a training; empty where it would take it."""
    try:
        trainer.check(step.spec)
    except NotFoundError:
        # Weights that are nowhere: nobody downloads them, so this training fails alone, and claims say why.
        return ""
    except REFUSED as error:
        return str(error)
    return ""


@contextmanager
def _connected(connect: Callable[[str], TrainerClient], services: Iterable[str]) -> Iterator[dict[str, TrainerClient]]:
    with ExitStack() as stack:
        yield {service: stack.enter_context(connect(service)) for service in services}


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
