"""Prometheus metrics, read from the models' statistics when somebody scrapes: inference itself pays nothing for them.

Counters carry Triton's names where the meaning is the same. Triton's counters lack the suffix `_total` that the
Prometheus library adds to counters, so they are exposed without a type.
"""

from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric, UnknownMetricFamily
from prometheus_client.registry import Collector

from services.serving.batcher import Batcher
from services.serving.handler import InferenceHandler
from services.serving.models import Models, ServedModel
from services.serving.statistics import REASONS, Statistics

LABELS = ("model", "version")
Value = Callable[[Statistics], float]

COUNTERS: dict[str, tuple[str, Value]] = {
    "nv_inference_request_success": ("Requests answered", lambda s: s.success.count),
    "nv_inference_count": ("Images inferred", lambda s: s.images),
    "nv_inference_exec_count": ("Batches executed", lambda s: s.executions),
    "nv_inference_request_duration_us": (
        "Microseconds from arrival to answer, cumulative",
        lambda s: s.success.ns // 1000,
    ),
    "nv_inference_queue_duration_us": (
        "Microseconds waiting for a batch, cumulative",
        lambda s: s.phases["queue"].ns // 1000,
    ),
    "nv_inference_compute_input_duration_us": (
        "Microseconds reading and joining inputs, cumulative",
        lambda s: s.phases["preprocess"].ns // 1000,
    ),
    "nv_inference_compute_infer_duration_us": (
        "Microseconds in the runtime, cumulative over requests",
        lambda s: s.phases["infer"].ns // 1000,
    ),
    "nv_inference_compute_output_duration_us": (
        "Microseconds shaping answers, cumulative",
        lambda s: s.phases["postprocess"].ns // 1000,
    ),
}
GAUGES: dict[str, tuple[str, Callable[[Batcher], int]]] = {
    "nv_inference_pending_request_count": ("Requests of which nothing is computed yet", lambda b: b.pending),
    "bakeoff_inference_queued_images": ("Images that wait for a batch", lambda b: b.queued),
}


class ServingCollector(Collector):
    """What a scrape sees. Called from the metrics server's thread, so it reads copies of what may grow."""

    def __init__(self, models: Models, handler: InferenceHandler) -> None:
        self._models, self._handler = models, handler

    def collect(self) -> Iterator[Metric]:
        """One family after the other, with a sample for each loaded version."""
        models = self._models.serving()
        for name, (text, value) in COUNTERS.items():
            counter = UnknownMetricFamily(name, text, labels=LABELS)
            for model in models:
                counter.add_metric(_labels(model), value(model.statistics))
            yield counter
        yield _failures(models, self._handler.unassigned)
        for name, (text, count) in GAUGES.items():
            gauge = GaugeMetricFamily(name, text, labels=LABELS)
            for model in models:
                gauge.add_metric(_labels(model), count(model.batcher))
            yield gauge
        yield _latency(models)
        yield _batch_sizes(models)


def _labels(model: ServedModel) -> list[str]:
    return [model.name, str(model.version)]


def _failures(models: list[ServedModel], unassigned: int) -> Metric:
    family = UnknownMetricFamily("nv_inference_request_failure", "Requests that failed", labels=(*LABELS, "reason"))
    for model in models:
        for reason in REASONS:
            family.add_metric([*_labels(model), reason], model.statistics.failures[reason])
    # Names come from callers: a series for each would never end.
    family.add_metric(["", "", "OTHER"], unassigned)
    return family


def _latency(models: list[ServedModel]) -> Metric:
    family = HistogramMetricFamily(
        "bakeoff_inference_seconds",
        "Time of answered requests by phase; `request` is from arrival to answer",
        labels=(*LABELS, "phase"),
    )
    for model in models:
        for phase, histogram in model.statistics.latency.items():
            family.add_metric([*_labels(model), phase], histogram.buckets(), histogram.sum)
    return family


def _batch_sizes(models: list[ServedModel]) -> Metric:
    family = HistogramMetricFamily("bakeoff_inference_batch_images", "Images of executed batches", labels=LABELS)
    for model in models:
        histogram = model.statistics.batch_size
        family.add_metric(_labels(model), histogram.buckets(), histogram.sum)
    return family
