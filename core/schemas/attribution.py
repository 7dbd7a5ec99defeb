"""Which default makes how much of a difference: what an experiment asks for, and what came out."""

from typing import Annotated, Any

import pydantic

from core.schemas.base import Name, Schema
from core.schemas.names import Framework
from core.schemas.recipe import Recipe
from core.schemas.statistics import SeedTest

Key = Annotated[str, pydantic.StringConstraints(pattern=r"^[a-z_0-9]+(\.[a-z_0-9]+)*$")]
"""A key of the recipe, nested ones with dots: `initializer`, `batch_norm`, `optimizer.epsilon`."""


class AttributionPlan(Schema):
    """Switches from one arm's recipe to another's, one at a time."""

    arms: tuple[Name, Name]
    """Where to start and where to end, for example idiomatic and matched: one network, two recipes."""
    between: tuple[Framework, Framework]
    """The frameworks whose difference is attributed."""
    order: tuple[Key, ...] = pydantic.Field(min_length=1)
    """Keys of the recipe in the order they are switched, each staying switched. Another order gives other shares."""
    alone: bool = False
    """Also each switch alone: what the shares do not add up to is interaction."""

    @pydantic.model_validator(mode="after")
    def _distinct(self) -> "AttributionPlan":
        for key, values in (("arms", self.arms), ("between", self.between), ("order", self.order)):
            if len(set(values)) != len(values):
                raise ValueError(f"{key} has duplicates: {list(values)}")
        return self

    @property
    def steps(self) -> tuple[Name, ...]:
        """Names of the arms with the first, the first two, … switches made."""
        return tuple(f"{self.arms[0]}-a{number}" for number in range(1, len(self.order) + 1))

    @property
    def singles(self) -> tuple[Name, ...]:
        """Names of the arms with one switch each; none where they are not asked for. The first is that of the steps."""
        others = (f"{self.arms[0]}-o{number}" for number in range(2, len(self.order) + 1))
        return (self.steps[0], *others) if self.alone else ()

    def recipes(self, start: Recipe, end: Recipe) -> dict[str, Recipe]:
        """Recipe by generated arm.

        Raises:
            ValueError: a key is not in both recipes, or both have the same value there.
        """
        first, last = start.model_dump(), end.model_dump()
        document, found = first, {}
        for name, key in zip(self.steps, self.order, strict=True):
            document = switched(document, last, key.split("."))
            found[name] = _recipe(document)
        for name, key in zip(self.singles, self.order, strict=False):
            found[name] = _recipe(switched(first, last, key.split(".")))
        return found


def _recipe(document: dict[str, Any]) -> Recipe:
    """With the shared pipeline there is no loader of the framework's own that could have workers."""
    return Recipe.model_validate(document if document["pipeline"] == "framework" else {**document, "workers": None})


def switched(document: dict[str, Any], end: dict[str, Any], path: list[str], done: tuple[str, ...] = ()) -> Any:
    """A copy of a recipe's document in which one key has the value of another one's."""
    key, *rest = path
    name = ".".join([*done, key])
    if key not in document or key not in end:
        both = sorted(document.keys() & end.keys())
        raise ValueError(f"no key {name!r} in both recipes; they share {', '.join(both)}")
    if document[key] == end[key]:
        raise ValueError(f"{name} is {end[key]!r} in both recipes (or was switched before): nothing to attribute")
    if not rest:
        return {**document, key: end[key]}
    if not isinstance(document[key], dict) or not isinstance(end[key], dict):
        raise ValueError(f"{name} has no keys of its own")
    return {**document, key: switched(document[key], end[key], rest, (*done, key))}


class Share(Schema):
    """One switch."""

    key: str
    arm: Name
    gap: SeedTest
    """First framework minus second in this arm."""
    change: SeedTest
    """How far the switch moved the gap, by seed; corrected for all changes of the attribution."""


class Attribution(Schema):
    """What each switch contributes to the gap between two frameworks."""

    between: tuple[Framework, Framework]
    arms: tuple[Name, Name]
    start: SeedTest
    """The gap in the first arm."""
    end: SeedTest
    """The gap in the last arm: what is left of the framework itself, with its luck."""
    shares: tuple[Share, ...]
    """Cumulative, in the order of the plan; their changes and `rest` lead from start to end."""
    rest: SeedTest
    """What lies between the last switch and the last arm: keys the plan does not name."""
    alone: tuple[Share, ...] = ()
    """Each switch alone, from the first arm."""
    interaction: SeedTest | None = None
    """What the cumulative changes have beyond the sum of the switches alone; None where these were not measured."""
