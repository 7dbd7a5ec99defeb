"""`gates.yaml`: what a report must show for a pipeline to go on."""

from typing import Literal

import pydantic

from core.measures import MEASURES
from core.schemas.base import Schema
from core.schemas.specs import FormatName, Framework, Precision, RuntimeName


class Where(Schema):
    """Which rows a rule is about: those that match every key given."""

    arm: str | None = None
    framework: Framework | None = None
    format: FormatName | None = None
    runtime: RuntimeName | None = None
    precision: Precision | None = None
    seed: int | None = None


class Rule(Schema):
    """One figure and its bounds, both included."""

    metric: str
    min: float | None = None
    max: float | None = None
    of: Literal["every", "recommended"] = "every"
    """every: each row in which the figure was measured; recommended: the artefact the verdict says to ship."""
    where: Where = Where()
    unsupported: Literal["fail", "allow"] = "fail"
    """What becomes of a percentile that a load test had too few queries for."""

    @pydantic.field_validator("metric")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in MEASURES:
            raise ValueError(f"unknown metric; known: {', '.join(MEASURES)}")
        return value

    @pydantic.field_validator("min", "max", mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("expected a number")
        return value

    @pydantic.model_validator(mode="after")
    def _bounded(self) -> "Rule":
        if self.min is None and self.max is None:
            raise ValueError("a rule needs min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} lies above max {self.max:g}")
        return self

    @property
    def name(self) -> str:
        """`accuracy ≥ 0.97 of every row, format onnx`."""
        bounds = [f"≥ {self.min:g}"] if self.min is not None else []
        bounds += [f"≤ {self.max:g}"] if self.max is not None else []
        chosen = "".join(f", {key} {value}" for key, value in self.where.model_dump(exclude_none=True).items())
        subject = "every row" if self.of == "every" else "the recommended artefact"
        return f"{self.metric} {' and '.join(bounds)} of {subject}{chosen}"


class Gates(Schema):
    """All rules must hold."""

    schema_version: Literal[1] = 1
    rules: tuple[Rule, ...] = pydantic.Field(min_length=1)
    allow_incomplete: bool = False
    """Let a report pass in which steps are missing."""
