"""Specs of runs: the JSON inside CreateRun. The `kind` selects the schema."""

from typing import Annotated, Literal

import pydantic

from core.errors import InvalidInputError
from core.schemas.base import Name, Schema, Sha256, explain
from core.schemas.data import DataSpec, Source
from core.schemas.names import FRAMEWORKS as FRAMEWORKS
from core.schemas.names import Corruption as Corruption
from core.schemas.names import FormatName as FormatName
from core.schemas.names import Framework as Framework
from core.schemas.names import Precision as Precision
from core.schemas.names import RuntimeName as RuntimeName
from core.schemas.names import VariantName as VariantName
from core.schemas.recipe import OneRecipe
from core.schemas.scenarios import Traffic
from core.schemas.search import SearchOutcome

ServedName = Annotated[str, pydantic.StringConstraints(pattern=r"^[^\s/]{1,255}$")]
"""A model's name on any server; ours are `Name`s."""
Target = Annotated[str, pydantic.StringConstraints(pattern=r"^[^\s/:]+:\d{1,5}$|^\[[0-9a-fA-F:.]+\]:\d{1,5}$")]
"""`host:port`; IPv6 addresses in brackets."""


class PrepareSpec(Schema):
    """Decode, resize, split and fingerprint a data source. Any trainer service can do it."""

    kind: Literal["prepare"] = "prepare"
    schema_version: Literal[1] = 1
    data: DataSpec
    source_digest: str
    """From InspectSource: a changed source is other work."""


class OriginalsSpec(Schema):
    """The images as they were before preparation, for a framework's own loader."""

    source: Source
    """On the machine of the trainer service."""
    digest: str
    """From InspectSource: a changed source is another training."""


class TrainSpec(Schema):
    """Train one network with one framework and one seed, export it and publish the artefacts."""

    kind: Literal["train"] = "train"
    schema_version: Literal[1] = 1
    experiment: Name
    arm: Name
    framework: Framework
    seed: int = pydantic.Field(ge=0)
    architecture: str
    data: Sha256
    """Fingerprint of the prepared data."""
    recipe: OneRecipe
    formats: tuple[FormatName, ...] = pydantic.Field(min_length=1)
    originals: OriginalsSpec | None = None
    """What `pipeline: framework` reads; None: the prepared arrays."""

    @property
    def model_prefix(self) -> str:
        return f"{self.experiment}-{self.arm}-{self.framework}-s{self.seed}"

    def model_name(self, format_name: str) -> str:
        """Name in the model repository."""
        return f"{self.model_prefix}-{format_name}"


class FindRateSpec(Schema):
    """Train for a few steps at a learning rate that grows from step to step, and record each step's loss."""

    kind: Literal["lr-find"] = "lr-find"
    schema_version: Literal[1] = 1
    framework: Framework
    seed: int = pydantic.Field(ge=0)
    architecture: str
    data: Sha256
    recipe: OneRecipe
    """Of the arm; schedule, epochs and early stopping do not matter here."""
    lowest: float = pydantic.Field(1e-7, gt=0)
    highest: float = pydantic.Field(10.0, gt=0)
    steps: int = pydantic.Field(100, ge=20, le=10_000)
    originals: OriginalsSpec | None = None
    """As a training's."""

    @pydantic.model_validator(mode="after")
    def _rising(self) -> "FindRateSpec":
        if self.lowest >= self.highest:
            raise ValueError(f"lowest {self.lowest:g} must be less than highest {self.highest:g}")
        return self


class QuantizeSpec(Schema):
    """Make an int8 model of a published ONNX model, as a model of its own. Any trainer service can do it."""

    kind: Literal["quantize"] = "quantize"
    schema_version: Literal[1] = 1
    model: Name
    version: int = pydantic.Field(ge=1)
    artifact: Sha256
    """Digest of that version's artefact."""
    data: Sha256
    """Fingerprint of the prepared data whose training split it is calibrated on."""
    precision: Literal["int8"] = "int8"
    images: int = pydantic.Field(512, ge=1, le=100_000)
    """Calibration images, drawn at random; all there are where there are fewer."""
    seed: int = pydantic.Field(0, ge=0)

    @property
    def target(self) -> str:
        """Name of the model it makes. Not checked: it may be longer than names may be."""
        return f"{self.model}-{self.precision}"


class Scoring(Schema):
    """What a served model's probabilities are asked for: the test split, and what they are to be judged by."""

    data: Sha256
    batch_size: int = pydantic.Field(64, ge=1, le=4096)
    calibrate: bool = True
    """Score the validation split too: it gives the temperature and, with two classes, the threshold."""
    corruptions: tuple[Corruption, ...] = ()
    """Score the test split under each of these too, at five severities."""


class EvaluateSpec(Scoring):
    """Score one published model through the server of its runtime."""

    kind: Literal["evaluate"] = "evaluate"
    schema_version: Literal[1] = 1
    model: Name
    version: int = pydantic.Field(ge=1)
    artifact: Sha256
    """Digest of the artefact: another file under the same name is other work."""
    runtime: RuntimeName


class EvaluateServedSpec(Scoring):
    """Score whatever a server of the Open Inference Protocol, any product's, serves under a name."""

    kind: Literal["evaluate-served"] = "evaluate-served"
    schema_version: Literal[1] = 1
    model: ServedName
    version: int | None = pydantic.Field(None, ge=1)
    """None: the server's choice."""
    target: Target
    """`host:port` of the server, as the evaluator reaches it."""
    repeat: int = pydantic.Field(0, ge=0)
    """Which of several equal evaluations this is: what the server answers with may have changed since the last."""


class LoadTestSpec(Traffic):
    """Load one served model once and record latency and throughput."""

    kind: Literal["loadtest"] = "loadtest"
    schema_version: Literal[1, 2] = 2
    """1 knows the scenario `closed` alone."""
    model: Name
    version: int = pydantic.Field(ge=1)
    artifact: Sha256
    runtime: RuntimeName
    data: Sha256
    seed: int = pydantic.Field(0, ge=0)
    """Decides which images are sent and when."""
    repeat: int = pydantic.Field(0, ge=0, lt=1000)
    """Which of several equal measurements this is; each sends other images, at other times."""


class ReportSpec(Schema):
    """Summarise the results of an experiment and write its report."""

    kind: Literal["report"] = "report"
    schema_version: Literal[5, 6] = 6
    """Part of the report's id: raised when reports say more, so that an older one is not taken for done."""
    experiment: Name
    title: str
    description: str
    spec_json: str
    """The frozen experiment, for provenance."""
    results: tuple[str, ...]
    """Ids of the result objects, in the order of the experiment."""
    state: str = ""
    """Part of the report's id: `core.results.state` of the results when it was asked for, so that one is made anew
    after an unreadable result was repaired. Empty in a report of an earlier version."""
    missing: tuple[str, ...] = ()
    """One line per step that failed: the report is marked incomplete."""
    remake: str = ""
    """Anything that makes this another run: all metrics are computed anew from the kept predictions. Empty: only those
    of an earlier definition are."""
    search: SearchOutcome | None = None
    """The trials, where the experiment is a search."""
    other_split: tuple[str, ...] = ()
    """Ids of the results of the same arms on another split, in the order of the experiment."""


TrainerSpec = Annotated[PrepareSpec | TrainSpec | QuantizeSpec | FindRateSpec, pydantic.Field(discriminator="kind")]
AnyEvaluatorSpec = EvaluateSpec | EvaluateServedSpec | ReportSpec
EvaluatorSpec = Annotated[AnyEvaluatorSpec, pydantic.Field(discriminator="kind")]
TRAINER_SPEC: pydantic.TypeAdapter[PrepareSpec | TrainSpec | QuantizeSpec | FindRateSpec] = pydantic.TypeAdapter(
    TrainerSpec
)
EVALUATOR_SPEC: pydantic.TypeAdapter[AnyEvaluatorSpec] = pydantic.TypeAdapter(EvaluatorSpec)


def parse_trainer_spec(text: str | bytes) -> PrepareSpec | TrainSpec | QuantizeSpec | FindRateSpec:
    """Validates the spec of a trainer run. Raises InvalidInputError naming each wrong key."""
    try:
        return TRAINER_SPEC.validate_json(text)
    except pydantic.ValidationError as error:
        raise InvalidInputError(f"trainer spec is not valid: {explain(error)}") from error


def parse_evaluator_spec(text: str | bytes) -> AnyEvaluatorSpec:
    """Validates the spec of an evaluator run. Raises InvalidInputError naming each wrong key."""
    try:
        return EVALUATOR_SPEC.validate_json(text)
    except pydantic.ValidationError as error:
        raise InvalidInputError(f"evaluator spec is not valid: {explain(error)}") from error
