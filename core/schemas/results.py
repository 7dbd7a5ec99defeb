"""Results: the `result.json` of a run's result object in the store."""

from typing import Annotated, Literal

import pydantic

from core.schemas.base import Schema, Sha256
from core.schemas.environment import Environment
from core.schemas.specs import EvaluateSpec, LoadTestSpec, PrepareSpec, TrainSpec


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


class EpochMetrics(Schema):
    """One epoch. Losses are means per image in nats; accuracies are shares of one."""

    # A framework may report a loss that is not finite; TrainingCallbacks ends the run before it is kept anywhere.
    model_config = pydantic.ConfigDict(allow_inf_nan=True)

    epoch: int
    """From 1."""
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    train_seconds: float
    validation_seconds: float


class Parity(Schema):
    """Two sets of probabilities for the same images."""

    largest_difference: float
    mean_difference: float
    disagreements: int
    """Images whose most probable class differs."""
    images: int


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
    """Wall time by phase: data, build, train, validate, export."""
    images_per_second: float
    """Training images over training time, validation excluded."""
    peak_memory_bytes: int
    attempts: int = 1
    models: tuple[PublishedModel, ...]
    environment: Environment


class ClassMetrics(Schema):
    """One row of the classification report."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


class EvaluateResult(Schema):
    """Scores of one served artefact on the test split. Probabilities lie beside it in `predictions.npz`."""

    kind: Literal["evaluate"] = "evaluate"
    schema_version: Literal[1] = 1
    run_id: str
    spec: EvaluateSpec
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
    seconds: float
    environment: Environment


class LatencySummary(Schema):
    """Milliseconds, from a high-dynamic-range histogram (three significant digits)."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    p999: float
    max: float


class LoadTestResult(Schema):
    """Throughput and latency of one served artefact."""

    kind: Literal["loadtest"] = "loadtest"
    schema_version: Literal[1] = 1
    run_id: str
    spec: LoadTestSpec
    loop: Literal["closed"] = "closed"
    requests: int
    """Completed in the measured window, warm-up excluded."""
    seconds: float
    throughput: float
    """Images per second."""
    latency_ms: LatencySummary
    server_ms: dict[str, float]
    """Mean per request by phase, as the server reported it: queue, infer, …; empty where it reported none."""
    mean_batch: float
    """Images per executed batch as the server reported; 0 where it reported none."""
    errors: dict[str, int]
    """gRPC status code to number of failed requests."""
    environment: Environment


Result = Annotated[PrepareResult | TrainResult | EvaluateResult | LoadTestResult, pydantic.Field(discriminator="kind")]
RESULT: pydantic.TypeAdapter[PrepareResult | TrainResult | EvaluateResult | LoadTestResult] = pydantic.TypeAdapter(
    Result
)
