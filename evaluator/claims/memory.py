"""Whether times of PyTorch and fastai are those of the framework, or of how the C library gives memory back."""

from collections.abc import Iterable

from core.memory import ALLOCATING_ANEW, MALLOC
from core.schemas.environment import Environment
from core.schemas.names import Framework
from core.schemas.summary import TRAINING, Summary
from evaluator import text

PAGE = "training-speed.md#where-memory-goes-back-to-the-system"
BEFORE = "ran before trainer services kept freed memory"


def gave_back(summary: Summary, frameworks: Iterable[Framework]) -> tuple[Framework, ...]:
    """Those of the frameworks that pay for it and were trained, somewhere, with malloc as it comes.

    Since trainer services set it up, a result says so; who has set it up otherwise has chosen to.
    """
    found = []
    for framework in dict.fromkeys(frameworks):
        role = f"{text.framework(framework)}{TRAINING}"
        places = [place.environment for place in summary.places if role in place.roles]
        if framework in ALLOCATING_ANEW and not (places and all(map(_set_up, places))):
            found.append(framework)
    return tuple(found)


def _set_up(place: Environment) -> bool:
    return any(name.startswith(MALLOC) for name in place.variables)


def note(summary: Summary) -> str:
    """What is to be known of a result's times, as Markdown; empty where they are the frameworks' own."""
    trained = dict.fromkeys(training.framework for training in summary.trainings)
    if not (found := gave_back(summary, trained)):
        return ""
    names = text.names([text.framework(one) for one in found])
    return f"> {names} ran before trainer services [kept freed memory]({PAGE}): no verdict is given on such times."
