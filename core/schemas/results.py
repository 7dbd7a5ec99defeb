"""Results: the `result.json` of a run's result object in the store."""

import json
from typing import Annotated, Any, Literal

import pydantic

from core import percentiles
from core.errors import InvalidInputError
from core.schemas.base import Schema, Sha256, explain, refuse_other_version
from core.schemas.environment import Environment
from core.schemas.metrics import EpochMetrics, Parity
from core.schemas.scenarios import TARGET_PERCENTILE, generator_problem
from core.schemas.scores import Corrupted, Operating, Scores
from core.schemas.specs import (
    EvaluateServedSpec,
    EvaluateSpec,
    FindRateSpec,
    LoadTestSpec,
    PrepareSpec,
    QuantizeSpec,
    TrainSpec,
)


class PrepareResult(Schema):
    """Where the prepared data is and what is in it."""

    kind: Literal["prepare"] = "prepare"
    schema_version: Literal[1] = 1
    run_id: str
    spec: PrepareSpec
    fingerprint: Sha256
    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    skipped: tuple[str, ...]
    seconds: float
    environment: Environment


class PublishedModel(Schema):
    """One artefact in the model repository."""

    name: str
    version: int
    format: str
    artifact: Sha256
    size_bytes: int
    export_seconds: float
    parity: Parity
    """Artefact, loaded again, against the model in memory on test images."""


class TrainResult(Schema):
    """What a training gave and what it cost."""

    kind: Literal["train"] = "train"
    schema_version: Literal[1] = 1
    run_id: str
    spec: TrainSpec
    parameters: int
    trainable_parameters: int
    history: tuple[EpochMetrics, ...]
    seconds: dict[str, float]
    """Wall time by phase: start (importing the framework), data (opening it, and waiting for batches where the
    framework shows that), build, train, validate, export."""
    images_per_second: float
    """Training images over training time, validation excluded."""
    peak_memory_bytes: int
    attempts: int = 1
    models: tuple[PublishedModel, ...]
    environment: Environment


class FindRateResult(Schema):
    """Losses of a training whose learning rate grew from step to step. Not part of a report."""

    kind: Literal["lr-find"] = "lr-find"
    schema_version: Literal[1] = 1
    run_id: str
    spec: FindRateSpec
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    """Mean loss of the step taken at each rate."""
    smoothed: tuple[float, ...]
    """Exponential average of the losses, by which a rate is chosen."""
    valley: float
    """Half way down the longest fall of the smoothed loss: fastai's own suggestion."""
    steep: float
    """Where the smoothed loss falls fastest."""
    diverged: bool
    """Whether the loss grew out of bounds before the highest rate."""
    seconds: float
    environment: Environment


class QuantizeResult(Schema):
    """The int8 model and how far its probabilities are from those of the fp32 one."""

    kind: Literal["quantize"] = "quantize"
    schema_version: Literal[1] = 1
    run_id: str
    spec: QuantizeSpec
    model: PublishedModel
    """`parity` is int8 against fp32; `export_seconds` is what calibrating and quantising took."""
    source_bytes: int
    """Size of the fp32 model."""
    environment: Environment


class ClassMetrics(Schema):
    """One row of the classification report. A class without test images has no figures: None, not zero."""

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int
    """Test images."""


class Scored(Schema):
    """Scores of a served model on the test split. Every prediction lies beside it in `predictions/*.parquet`."""

    metrics_version: int = 1
    """Which definition of the figures: with another one a report computes them anew from the predictions."""
    run_id: str
    images: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    """Wilson score interval at 95 %."""
    log_loss: float
    classes: tuple[ClassMetrics, ...]
    macro: ClassMetrics
    weighted: ClassMetrics
    confusion: tuple[tuple[int, ...], ...]
    """Rows: true class; columns: predicted class."""
    scores: Scores | None = None
    operating: Operating | None = None
    """None where the validation split was not scored."""
    robustness: tuple[Corrupted, ...] = ()
    seconds: float
    environment: Environment


class EvaluateResult(Scored):
    """Scores of a published model."""

    kind: Literal["evaluate"] = "evaluate"
    schema_version: Literal[1, 2, 3] = 3
    """1 has no `scores`, 2 neither `operating` nor Parquet: its test predictions are in `predictions.npz`."""
    spec: EvaluateSpec


class EvaluateServedResult(Scored):
    """Scores of whatever a server has under a name."""

    kind: Literal["evaluate-served"] = "evaluate-served"
    schema_version: Literal[1] = 1
    spec: EvaluateServedSpec


class LatencySummary(Schema):
    """Milliseconds, from a high-dynamic-range histogram (three significant digits)."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    p999: float
    max: float


class ServerAccount(Schema):
    """What the server itself counted while a load test ran, warm-up included."""

    images: int
    """Inferred, as ModelStatistics says."""
    batches: int
    """Executed."""
    cpu_s: float | None = None
    """CPU time of the server process, from its Prometheus page; None where that was not told or not reached."""
    seconds: float
    """Between the two readings."""

    @property
    def cpu_ms_per_image(self) -> float | None:
        """CPU time of an inference, everything the server did besides included."""
        return 1000 * self.cpu_s / self.images if self.cpu_s is not None and self.images else None


class LoadTestResult(Schema):
    """Throughput and latency of one served artefact, measured once."""

    kind: Literal["loadtest"] = "loadtest"
    schema_version: Literal[1, 2, 3] = 3
    """1 has no `generator_cpu`; 2 knows closed loops alone and has no histogram."""
    run_id: str
    spec: LoadTestSpec
    loop: Literal["closed", "open"] = "closed"
    """open: latency runs from the time a query was due, not from when it was sent."""
    requests: int
    """Answered, of those sent (in an open loop: due) in the measured window, warm-up excluded."""
    seconds: float
    throughput: float
    """Images per second."""
    latency_ms: LatencySummary
    histogram: str = ""
    """All latencies in microseconds: HdrHistogram V2, deflated, base64. Histograms of equal tests may be added."""
    upper_ms: dict[str, float] = pydantic.Field(default_factory=dict)
    """Percentile (`p99`) to the value it does not exceed with 99 % confidence; absent where the queries are too few."""
    server_ms: dict[str, float]
    """Mean per request by phase, as the server reported it: queue, infer, …; empty where it reported none."""
    mean_batch: float
    """Images per executed batch as the server reported; 0 where it reported none."""
    server: ServerAccount | None = None
    errors: dict[str, int]
    """gRPC status code to number of failed requests; NOT_SENT: too many were under way already."""
    over_bound: int | None = None
    """Queries answered later than `spec.bound_ms`, failed ones included; None without a bound."""
    late_share: float | None = None
    """Share of queries that left the generator late (`scenarios.late_ms`); None in a closed loop."""
    lateness_ms: LatencySummary | None = None
    """From due to sent; None in a closed loop."""
    generator_cpu: float | None = None
    """CPU time of the load generator over the window's length: its share of one core. Near one, the generator was the
    bottleneck and the server could do more."""
    problems: tuple[str, ...] = ()
    """Why the figures do not count; empty for a valid measurement."""
    environment: Environment

    @pydantic.model_validator(mode="before")
    @classmethod
    def _busy_generators_do_not_count(cls, data: Any) -> Any:
        """Earlier versions kept the generator's CPU and drew no conclusion: they are judged when they are read."""
        cpu = data.get("generator_cpu") if isinstance(data, dict) else None
        reason = generator_problem(cpu) if isinstance(cpu, int | float) else None
        problems = data.get("problems", ()) if reason else ()
        if reason is None or not isinstance(problems, list | tuple) or reason in problems:
            return data
        return {**data, "problems": (*problems, reason)}

    @property
    def valid(self) -> bool:
        """False where the figures do not count."""
        return not self.problems

    @property
    def queries(self) -> int:
        """Answered and failed."""
        return self.requests + sum(self.errors.values())

    @property
    def supported(self) -> float | None:
        """The highest percentile the number of queries supports at 99 % confidence."""
        return percentiles.supported(self.queries)

    @property
    def within_bound(self) -> bool | None:
        """Whether p99 is shown, at 99 % confidence, to stay within the bound; None without one."""
        if self.over_bound is None:
            return None
        return self.valid and self.over_bound <= percentiles.allowed_over(self.queries, TARGET_PERCENTILE)


AnyResult = PrepareResult | TrainResult | QuantizeResult | EvaluateResult | EvaluateServedResult | LoadTestResult
"""What a report is made of."""
Result = Annotated[AnyResult, pydantic.Field(discriminator="kind")]
RESULT: pydantic.TypeAdapter[AnyResult] = pydantic.TypeAdapter(Result)
READABLE: dict[str, tuple[int, ...]] = {
    "prepare": (1,),
    "train": (1,),
    "quantize": (1,),
    "evaluate": (1, 2, 3),
    "evaluate-served": (1,),
    "loadtest": (1, 2, 3),
}
"""Kind of result to the schema versions that are read; the last one is written."""


def parse_result(text: str | bytes, what: str) -> AnyResult:
    """Validates a stored result, also one that an earlier version wrote.

    Raises:
        InvalidInputError: naming `what`; for a document of another version, that version and those that are read.
    """
    try:
        return RESULT.validate_json(text)
    except pydantic.ValidationError as error:
        remedy = "read it with the version that wrote it"
        refuse_other_version(text, READABLE.get(_kind(text), (1, 2, 3)), what, remedy)
        raise InvalidInputError(f"{what} is not a valid result: {explain(error)}") from error


def _kind(text: str | bytes) -> str:
    try:
        return str(json.loads(text).get("kind"))
    except (ValueError, AttributeError):
        return ""
