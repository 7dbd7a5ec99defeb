"""Synthetic results for tests: TEST DATA, drawn from a random generator. No figure here was measured."""

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal, get_args

import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

from core.prepared import Split
from core.schemas.data import DataSpec, DigitsSource, ImageSpec, SplitSpec
from core.schemas.environment import Environment
from core.schemas.metrics import EpochMetrics, Parity
from core.schemas.recipe import Recipe, complete
from core.schemas.results import (
    EvaluateResult,
    LatencySummary,
    LoadTestResult,
    PrepareResult,
    PublishedModel,
    ServerAccount,
    TrainResult,
)
from core.schemas.specs import (
    EvaluateSpec,
    FormatName,
    Framework,
    LoadTestSpec,
    PrepareSpec,
    ReportSpec,
    RuntimeName,
    TrainSpec,
)
from evaluator.corruptions import KINDS, SEVERITIES
from evaluator.passes import TEST, VALIDATION, Pass, judge
from evaluator.provenance import Result
from evaluator.report.samples import Sample, thumbnail

FORMATS: dict[Framework, tuple[FormatName, ...]] = {
    "keras": ("keras", "savedmodel", "onnx"),
    "tensorflow": ("savedmodel", "onnx"),
    "pytorch": ("pt2", "onnx"),
    "fastai": ("pt2", "onnx"),
}
RUNTIMES: dict[str, RuntimeName] = {
    "keras": "tensorflow",
    "savedmodel": "tensorflow",
    "pt2": "pytorch",
    "onnx": "onnxruntime",
}
FINGERPRINT = sha256(b"test data").hexdigest()
JUDGED: dict[str, dict[str, Any]] = {}
"""Figures by the predictions they are of: most tests start from the same ones, and computing them takes a second."""


def digest(text: str) -> str:
    """A made-up sha256."""
    return sha256(text.encode()).hexdigest()


def environment(contended: bool = False, **changes: object) -> Environment:
    """A machine that does not exist."""
    values = {
        "host": "test-host",
        "platform": "Test-Linux-6.1",
        "cpu_model": "Test CPU @ 2.00 GHz",
        "cpu_quota": 2.0,
        "memory_bytes": 8 << 30,
        "python": "3.11.2",
        "versions": {"bakeoff": "0.1.0", "numpy": "2.4.6", "onnxruntime": "1.31.1"},
        "threads": 2,
        "load_average": 0.4,
        "contended": contended,
    }
    return Environment.model_validate(values | changes)


@dataclass
class Experiment:
    """Synthetic results of one experiment, as a report receives them."""

    classes: tuple[str, ...] = tuple("0123456789")
    images: int = 360
    untested: tuple[str, ...] = ()
    """Classes without test images."""
    arms: tuple[str, ...] = ("matched", "idiomatic")
    frameworks: tuple[Framework, ...] = get_args(Framework)
    seeds: tuple[int, ...] = (0, 1, 2)
    epochs: int = 8
    load_tests: bool = True
    repeats: int = 1
    rates: tuple[float, ...] = ()
    missing: tuple[str, ...] = ()
    skill: float = 0.97
    calibrated: bool = False
    corrupted: bool = False
    title: str = "Digits (synthetic test data)"
    seed: int = 7
    policy: Literal["stratified", "contiguous"] | None = None
    """Makes these the results of the same arms on another split."""
    results: list[Result] = field(default_factory=list)
    probabilities: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        every = np.arange(len(self.classes))
        tested = every[[name not in self.untested for name in self.classes]]
        self.labels: NDArray[np.int64] = np.resize(tested, self.images)
        self.validation: NDArray[np.int64] = np.resize(every, self.images)
        self.results.append(self._prepare())
        for arm in self.arms:
            for seed in self.seeds:
                for framework in self.frameworks:
                    self.results.extend(self._training(arm, framework, seed))

    @property
    def spec(self) -> ReportSpec:
        """The spec of the report over these results."""
        return ReportSpec(
            experiment="test-digits",
            title=self.title,
            description="Synthetic figures made by a test; nothing here was measured.",
            spec_json='{"experiment": "test-digits", "seeds": [0, 1, 2]}',
            results=tuple(result.run_id for result in self.results),
            missing=self.missing,
        )

    @property
    def test(self) -> Split:
        """The test split: noise."""
        pixels = np.random.default_rng(self.seed).integers(0, 256, (self.images, 8, 8, 1), dtype=np.uint8)
        return Split(pixels, self.labels)

    def samples(self) -> tuple[Sample, ...]:
        """One noise picture for each class."""
        pixels = self.rng.integers(0, 256, (len(self.classes), 8, 8, 1), dtype=np.uint8)
        return tuple(Sample(label=name, png=thumbnail(image)) for name, image in zip(self.classes, pixels, strict=True))

    def _prepare(self) -> PrepareResult:
        per_class = {name: int((self.labels == index).sum()) for index, name in enumerate(self.classes)}
        return PrepareResult(
            run_id="prepare-2" if self.policy else "prepare-1",
            spec=PrepareSpec(
                data=DataSpec(
                    source=DigitsSource(),
                    image=ImageSpec(height=8, width=8, color="grey"),
                    split=SplitSpec(policy=self.policy or "given"),
                ),
                source_digest=digest("source"),
            ),
            fingerprint=FINGERPRINT,
            classes=self.classes,
            counts={
                "train": {name: 4 * max(1, n) for name, n in per_class.items()},
                "validation": {name: max(1, n // 2) for name, n in per_class.items()},
                "test": per_class,
            },
            skipped=(),
            seconds=1.2,
            environment=environment(),
        )

    def _training(self, arm: str, framework: Framework, seed: int) -> Iterator[Result]:
        mode = "matched" if arm.startswith("matched") else "idiomatic"
        spec = TrainSpec(
            experiment="test-digits",
            arm=f"{arm}-{self.policy}" if self.policy else arm,
            framework=framework,
            seed=seed,
            architecture="digits-cnn",
            data=FINGERPRINT,
            recipe=Recipe.model_validate(complete(mode, {"epochs": self.epochs})),
            formats=FORMATS[framework],
        )
        history = tuple(self._epochs(0.0 if mode == "matched" else 0.004 * self.frameworks.index(framework)))
        models = tuple(self._model(spec, name) for name in spec.formats)
        yield TrainResult(
            run_id=f"train-{spec.model_prefix}",
            spec=spec,
            parameters=13_706,
            trainable_parameters=13_610,
            history=history,
            seconds={
                "data": 0.3,
                "build": 1.1,
                "train": sum(e.train_seconds for e in history),
                "validate": sum(e.validation_seconds for e in history),
                "export": 2.5,
            },
            images_per_second=1400 / history[0].train_seconds,
            peak_memory_bytes=600 << 20,
            models=models,
            environment=environment(versions={"bakeoff": "0.1.0", "numpy": "2.4.6", framework: "2.13.0"}),
        )
        truth = self._predict(self.skill - (0.0 if mode == "matched" else 0.01))
        for model in models:
            if model.format != "onnx" and (self.policy or seed != self.seeds[0]):
                continue
            yield self._evaluate(model, truth)
            if self.load_tests and seed == self.seeds[0]:
                yield from self._loads(model)

    def _epochs(self, handicap: float) -> Iterator[EpochMetrics]:
        pace = 0.5 + 0.2 * self.rng.random()
        for epoch in range(1, self.epochs + 1):
            left = float(np.exp(-pace * epoch))
            yield EpochMetrics(
                epoch=epoch,
                train_loss=2.3 * left + 0.03,
                train_accuracy=1 - 0.9 * left,
                validation_loss=2.2 * left + 0.08 + 0.02 * self.rng.random() + handicap,
                validation_accuracy=0.985 - 0.8 * left - 0.01 * self.rng.random() - handicap,
                train_seconds=0.8 + 0.4 * self.rng.random(),
                validation_seconds=0.05,
            )

    def _predict(self, skill: float, labels: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        labels = self.labels if labels is None else labels
        logits = self.rng.normal(size=(self.images, len(self.classes)))
        right = self.rng.random(self.images) < skill
        offset = self.rng.integers(1, len(self.classes), self.images)
        target = np.where(right, labels, (labels + offset) % len(self.classes))
        logits[np.arange(self.images), target] += 7
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(exponents / exponents.sum(axis=1, keepdims=True), np.float32)

    def _model(self, spec: TrainSpec, name: FormatName) -> PublishedModel:
        return PublishedModel(
            name=spec.model_name(name),
            version=1,
            format=name,
            artifact=digest(spec.model_name(name)),
            size_bytes={"onnx": 57_000, "savedmodel": 131_000, "keras": 88_000, "pt2": 74_000}[name],
            export_seconds=0.8,
            parity=Parity(largest_difference=2.4e-7, mean_difference=1e-8, disagreements=0, images=self.images),
        )

    def _evaluate(self, model: PublishedModel, truth: NDArray[np.float32]) -> EvaluateResult:
        run_id = f"evaluate-{model.name}"
        noise = self.rng.normal(scale=1e-7, size=truth.shape).astype(np.float32)
        self.probabilities[run_id] = np.clip(truth + noise, 0, 1)
        return EvaluateResult(
            run_id=run_id,
            spec=EvaluateSpec(
                model=model.name,
                version=1,
                artifact=model.artifact,
                runtime=RUNTIMES[model.format],
                data=FINGERPRINT,
            ),
            seconds=0.4,
            environment=environment(),
            **self._judge(self._passes(run_id, model)),
        )

    def _judge(self, predictions: dict[Pass, NDArray[np.float32]]) -> dict[str, Any]:
        labels = {"test": self.labels, "validation": self.validation}
        key = sha256(pickle.dumps((labels, predictions, self.classes))).hexdigest()
        if key not in JUDGED:
            JUDGED[key] = judge(labels, predictions, self.classes)
        return JUDGED[key]

    def _passes(self, run_id: str, model: PublishedModel) -> dict[Pass, NDArray[np.float32]]:
        """Test predictions, and what else was asked for; drawn apart, so that asking changes no other figure."""
        found = {TEST: self.probabilities[run_id]}
        rng, self.rng = self.rng, np.random.default_rng(self.seed)
        if self.calibrated:
            found[VALIDATION] = self._predict(self.skill, self.validation)
        if self.corrupted and model.format == "onnx":
            for kind in KINDS:
                for severity in SEVERITIES:
                    found[Pass("test", kind, severity)] = self._predict(self.skill - 0.06 * severity)
        self.rng = rng
        return found

    def _loads(self, model: PublishedModel) -> Iterator[LoadTestResult]:
        yield self._load(model)
        for repeat in range(1, self.repeats):
            yield self._load(model, repeat=repeat)
        for rate in self.rates:
            yield self._load(model, scenario="server", rate=rate, bound_ms=20.0)

    def _load(self, model: PublishedModel, **traffic: object) -> LoadTestResult:
        base = {"onnx": 1.3, "savedmodel": 3.6, "keras": 5.2, "pt2": 2.4}[model.format]
        spec = LoadTestSpec.model_validate(
            {"model": model.name, "version": 1, "artifact": model.artifact, "runtime": RUNTIMES[model.format]}
            | {"data": FINGERPRINT, **traffic}
        )
        waiting = 1 / max(0.05, 1 - (spec.rate or 0) * base / 2000)
        drawn = base * waiting * (0.9 + 0.2 * self.rng.random()) * self.rng.lognormal(0, 0.4, 2_000)
        histogram = HdrHistogram(1, 3_600_000_000, 3)
        for value in drawn:
            histogram.record_value(max(1, round(1000 * value)))
        p50, p90, p95, p99, p999 = np.percentile(drawn, [50, 90, 95, 99, 99.9])
        return LoadTestResult(
            run_id=f"load-{model.name}" + "".join(f"-{value}" for value in traffic.values()),
            spec=spec,
            loop="open" if spec.rate else "closed",
            requests=len(drawn),
            seconds=5.0,
            throughput=spec.rate or 8000 / base,
            latency_ms=LatencySummary(
                mean=float(drawn.mean()), p50=p50, p90=p90, p95=p95, p99=p99, p999=p999, max=float(drawn.max())
            ),
            histogram=histogram.encode().decode(),
            upper_ms={"p50": 1.01 * p50, "p99": 1.2 * p99},
            server_ms={"queue": 0.3 * base, "infer": 0.5 * base},
            mean_batch=3.2,
            server=ServerAccount(images=2_000, batches=625, cpu_s=0.8, seconds=6.0),
            errors={},
            over_bound=int((drawn > spec.bound_ms).sum()) if spec.bound_ms else None,
            late_share=0.002 if spec.rate else None,
            generator_cpu=0.42,
            environment=environment(),
        )


def changed(results: Sequence[Result], run_id: str, **changes: object) -> list[Result]:
    """The results, one of them with other values."""
    return [r.model_copy(update=changes) if r.run_id == run_id else r for r in results]
