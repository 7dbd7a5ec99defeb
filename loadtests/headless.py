"""One load test from spec to result: opens the data, checks the fit, measures, summarises."""

import asyncio
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core import environment
from core.contention import TimedSection
from core.errors import CancelledError
from core.prepared import open_prepared
from core.schemas.environment import Environment
from core.schemas.results import LoadTestResult
from core.schemas.scenarios import OPEN_LOOP
from core.schemas.specs import LoadTestSpec
from core.store import Store
from loadtests import checks, driver, server_side
from loadtests.images import draw, test_images
from loadtests.problems import find_problems
from loadtests.recorder import Recorder
from loadtests.sender import Sender
from loadtests.server_side import Reading
from loadtests.window import Progress, Window
from services.client.aio_inference import AsyncInferenceClient
from services.client.checks import check_artifact
from services.client.inference import InferenceClient

GENERATOR_THREADS = 1
"""One event loop is one core."""


@dataclass(frozen=True)
class Setting:
    """Infrastructure of one load test: what is no part of its spec."""

    target: str
    run_id: str
    timeout_s: float
    """Longest a request may take before it counts as DEADLINE_EXCEEDED."""
    metrics: str | None = None
    """URL of the server's Prometheus page; None where there is none to read."""


@dataclass(frozen=True)
class Measured:
    """A recorder, and the server's counters before and after."""

    recorder: Recorder
    before: Reading
    after: Reading


def check(setting: Setting, store: Store, spec: LoadTestSpec) -> NDArray[np.uint8]:
    """The images to send, uint8 [n, height, width, channels], once server, model and data are seen to fit together.

    Raises:
        WrongStateError: no such prepared data, or the model does not fit it.
        NotReadyError: no server at the target, or the model is not ready.
    """
    data = open_prepared(store, spec.data)
    images, classes = test_images(data), len(data.manifest.classes)
    with InferenceClient(setting.target, timeout_s=setting.timeout_s, attempts=1) as client:
        checks.check_live(client)
        checks.check_model(client, spec.model, spec.version, data.manifest.spec.image.shape, classes)
        check_artifact(client, spec.model, spec.version, spec.artifact)
        probe = next(draw(images, spec.batch_size, spec.seed, 0))
        checks.check_answer(client, spec.model, spec.version, probe, classes)
    return images


async def run(setting: Setting, spec: LoadTestSpec, images: NDArray[np.uint8], progress: Progress) -> LoadTestResult:
    """Measures one served model.

    Raises:
        CancelledError: this task was cancelled; names the phase.
    """
    recorder = Recorder(spec.bound_ms)
    window = Window(recorder, progress)
    before = environment.describe(GENERATOR_THREADS)
    try:
        with TimedSection() as section:
            measured = await measure(setting, spec, images, recorder, window)
            contended = section.contended
    except asyncio.CancelledError:
        raise CancelledError(f"stopped on request during {window.phase}") from None
    return summarise(setting.run_id, spec, measured, before.model_copy(update={"contended": contended}))


async def measure(
    setting: Setting, spec: LoadTestSpec, images: NDArray[np.uint8], recorder: Recorder, window: Window
) -> Measured:
    """Drives the scenario between two readings of the server's counters."""
    # A refused request is a result here: the client must not repeat it behind the recorder's back.
    async with AsyncInferenceClient(setting.target, timeout_s=setting.timeout_s, attempts=1) as client:
        before = await server_side.read(client, spec.model, spec.version, setting.metrics)
        await driver.drive(Sender(client, spec, images, recorder), window)
        after = await server_side.read(client, spec.model, spec.version, setting.metrics)
    return Measured(recorder, before, after)


def summarise(run_id: str, spec: LoadTestSpec, measured: Measured, where: Environment) -> LoadTestResult:
    """What is written down. The server's split comes from its replies, else from its statistics."""
    recorder = measured.recorder
    server = server_side.account(measured.before, measured.after)
    told = server.images / server.batches if server and server.batches else 0.0
    return LoadTestResult(
        run_id=run_id,
        spec=spec,
        loop="open" if spec.scenario in OPEN_LOOP else "closed",
        requests=recorder.requests,
        seconds=recorder.seconds,
        throughput=recorder.throughput,
        latency_ms=recorder.latency_ms(),
        histogram=recorder.histogram(),
        upper_ms=recorder.upper_ms(),
        server_ms=recorder.server_ms() or server_side.phases_ms(measured.before, measured.after),
        mean_batch=recorder.mean_batch or told,
        server=server,
        errors=dict(sorted(recorder.errors.items())),
        over_bound=recorder.over_bound,
        late_share=recorder.late_share,
        lateness_ms=recorder.lateness_ms(),
        generator_cpu=recorder.generator_cpu,
        problems=find_problems(recorder, spec.bound_ms),
        environment=where,
    )
