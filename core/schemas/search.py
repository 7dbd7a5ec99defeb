"""Searching a recipe: what an experiment asks for, and what its trials came to."""

import math
from typing import Annotated, Literal

import pydantic

from core.schemas.base import Name, Schema
from core.schemas.names import Framework

Scalar = bool | int | float | str
Choices = Annotated[tuple[Scalar, ...], pydantic.Field(min_length=1)]


class Range(Schema):
    """Numbers between two bounds, both included; whole ones where both bounds are."""

    low: int | float
    high: int | float
    log: bool = False
    """Orders of magnitude are equally likely."""

    @pydantic.model_validator(mode="after")
    def _rising(self) -> "Range":
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs a low above 0, not {self.low:g}")
        return self


class SearchPlan(Schema):
    """Varies one arm; each trial is an ordinary training of it."""

    arm: Name
    framework: Framework
    method: Literal["grid", "random", "bayes"]
    """grid: every combination; random: drawn evenly; bayes: tree-structured Parzen estimator (Bergstra et al. 2011)."""
    space: dict[str, Choices | Range] = pydantic.Field(min_length=1)
    """Key of the arm (`architecture`, `recipe.batch_size`, `recipe.optimizer.epsilon`) to its choices or range."""
    trials: int | None = pydantic.Field(None, ge=1, le=10_000)
    """How many; a grid has as many as it has combinations."""
    folds: int | None = pydantic.Field(None, ge=2, le=100)
    """Cross-validation: a trial is trained once for each fold of `data.split`, its value is the mean over them."""
    prune: bool = True
    """Stop a trial whose best validation accuracy so far lies below the median that the complete ones had after as many
    epochs (Golovin et al. 2017); of several folds, the best of the one in work."""
    startup: int = pydantic.Field(3, ge=1)
    """Trials that are complete before any is pruned."""

    @pydantic.model_validator(mode="after")
    def _countable(self) -> "SearchPlan":
        if self.method == "grid":
            if ranges := sorted(key for key, values in self.space.items() if isinstance(values, Range)):
                raise ValueError(f"a grid has choices, but {ranges} are ranges; list values or choose random or bayes")
            if self.trials is not None:
                raise ValueError("a grid has as many trials as combinations; leave trials out")
        elif self.trials is None:
            raise ValueError(f"method {self.method} needs trials: how many")
        return self

    @property
    def random_trials(self) -> int:
        """How many a Bayesian search draws evenly before it has something to go by: a third, at most Optuna's ten."""
        return min(10, max(1, self.count // 3))

    @property
    def count(self) -> int:
        """How many trials there are in all."""
        return self.trials or math.prod(len(v) for v in self.space.values() if not isinstance(v, Range))


class Trial(Schema):
    """One trial."""

    number: int
    arm: Name
    parameters: dict[str, Scalar]
    state: Literal["complete", "pruned", "failed"]
    value: float | None
    """Validation accuracy of the epoch it exports, mean over folds; None for one that failed before the first."""
    folds: tuple[float, ...] = ()
    """That of each fold; empty without cross-validation."""
    epochs: int
    """Of all folds together."""
    run_id: str = ""
    """Its training, of several the first fold's; empty where the parameters were no valid arm."""
    reason: str = ""
    """Why it failed."""


class SearchOutcome(Schema):
    """All trials, in order."""

    plan: SearchPlan
    trials: tuple[Trial, ...]
    best: int | None
    """Number of the complete trial with the highest value."""
