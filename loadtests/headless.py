"""One load test from spec to result: opens the data, checks the fit, measures, summarises."""

from dataclasses import dataclass

import gevent.event

from core import environment
from core.contention import TimedSection
from core.errors import CancelledError
from core.prepared import open_prepared
from core.schemas.environment import Environment
from core.schemas.results import LoadTestResult
from core.schemas.specs import LoadTestSpec
from core.store import Store
from loadtests import checks
from loadtests.driver import Progress, measure
from loadtests.images import draw, test_images
from loadtests.recorder import Recorder
from loadtests.user import Load
from services.client.checks import check_artifact
from services.client.inference import InferenceClient

GENERATOR_THREADS = 1
"""One Locust process is one core."""


@dataclass(frozen=True)
class Setting:
    """Infrastructure of one load test: what is no part of its spec."""

    target: str
    store: Store
    run_id: str
    timeout_s: float
    """Longest a request may take before it counts as DEADLINE_EXCEEDED."""


def run(setting: Setting, spec: LoadTestSpec, stop: gevent.event.Event, progress: Progress) -> LoadTestResult:
    """Measures one served model.

    Raises:
        WrongStateError: no such prepared data, or the model does not fit it.
        NotReadyError: no server at the target, or the model is not ready.
        CancelledError: `stop` was set.
    """
    data = open_prepared(setting.store, spec.data)
    images, classes = test_images(data), len(data.manifest.classes)
    # A refused request is a result here: the client must not repeat it behind the recorder's back.
    with InferenceClient(setting.target, timeout_s=setting.timeout_s, attempts=1) as client:
        checks.check_live(client)
        checks.check_model(client, spec.model, spec.version, data.manifest.spec.image.shape, classes)
        check_artifact(client, spec.model, spec.version, spec.artifact)
        probe = next(draw(images, spec.batch_size, spec.seed, 0))
        checks.check_answer(client, spec.model, spec.version, probe, classes)
        if stop.is_set():
            raise CancelledError("stopped on request before the first measured request")
        before = environment.describe(GENERATOR_THREADS)
        load = Load(client, spec.model, spec.version, images, spec.batch_size, spec.seed)
        with TimedSection() as section:
            recorder = measure(load, spec.users, spec.warmup_s, spec.duration_s, stop, progress)
            contended = section.contended
    return summarise(setting.run_id, spec, recorder, before.model_copy(update={"contended": contended}))


def summarise(run_id: str, spec: LoadTestSpec, recorder: Recorder, where: Environment) -> LoadTestResult:
    """What is written down."""
    return LoadTestResult(
        run_id=run_id,
        spec=spec,
        requests=recorder.requests,
        seconds=recorder.seconds,
        throughput=recorder.throughput,
        latency_ms=recorder.latency_ms(),
        server_ms=recorder.server_ms(),
        mean_batch=recorder.mean_batch,
        errors=dict(sorted(recorder.errors.items())),
        generator_cpu=recorder.generator_cpu,
        environment=where,
    )
