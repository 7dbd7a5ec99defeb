"""How a model does with one choice of instances, threads and batches: measured in this process, under a closed load."""

import asyncio
import time
from dataclasses import dataclass, replace

import numpy as np
from inference import grpc_service_pb2 as pb

from services.serving.compute import Predict
from services.serving.config import INPUT, INPUT_TYPE
from services.serving.handler import InferenceHandler
from services.serving.loading import LoadedModel
from services.serving.models import ServedModel
from services.serving.tuned import Choice
from services.serving.wire import InferWire

CLIENTS = 64
"""Requests in flight: enough to fill two batches of the largest size that is tried."""


@dataclass(frozen=True)
class Measured:
    """One trial."""

    images_per_s: float
    """By the clock: other work on the machine lowers it."""
    capacity: float
    """Images per second that the CPU time spent would allow on cores of its own: what choices are compared by."""
    p99_ms: float
    compute_ms: float
    """CPU time of the compute threads for one image."""


def capacity(images: int, loop_s: float, compute_s: float, choice: Choice, cores: int) -> float:
    """Images per second until the event loop, the compute threads or the cores are full, whichever is first.

    Args:
        loop_s: CPU seconds of the event loop's thread for `images`.
        compute_s: CPU seconds of all other threads for them.
    """
    lanes = choice.instances * choice.threads
    return images / max(loop_s, compute_s / lanes, (loop_s + compute_s) / cores, 1e-9)


class _Only:
    """The models of a server that has one."""

    def __init__(self, model: ServedModel) -> None:
        self._model = model

    def get(self, name: str, version: str = "") -> ServedModel:
        """The one there is."""
        return self._model

    def only(self) -> ServedModel:
        """The same."""
        return self._model


async def measure(loaded: LoadedModel, predict: Predict, choice: Choice, seconds: float, cores: int) -> Measured:
    """Runs one-image requests through everything but a transport for `seconds`, after a fifth of that to warm up."""
    policy = replace(
        loaded.config.policy,
        instances=choice.instances,
        max_batch=choice.max_batch,
        max_delay_ns=1000 * choice.max_delay_us,
    )
    served = ServedModel(replace(loaded, predict=predict, config=replace(loaded.config, policy=policy)))
    wire, data = InferWire(InferenceHandler(_Only(served))), _request(loaded)
    try:
        await _load(wire, data, seconds / 5)
        started, loop_s, all_s = time.perf_counter(), time.thread_time(), time.process_time()
        times = await _load(wire, data, seconds)
        took, loop_s, all_s = time.perf_counter() - started, time.thread_time() - loop_s, time.process_time() - all_s
    finally:
        served.batcher.close()
    compute_s = all_s - loop_s
    return Measured(
        images_per_s=len(times) / took,
        capacity=capacity(len(times), loop_s, compute_s, choice, cores),
        p99_ms=1000 * float(np.percentile(times, 99)),
        compute_ms=1000 * compute_s / len(times),
    )


async def _load(wire: InferWire, data: bytes, seconds: float) -> list[float]:
    """Seconds each request took; every client sends at least one."""
    end, times = time.perf_counter() + seconds, []

    async def client() -> None:
        now = time.perf_counter()
        while True:
            sent, _ = now, await wire.infer(data, None)
            now = time.perf_counter()
            times.append(now - sent)
            if now >= end:
                return

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return times


def _request(loaded: LoadedModel) -> bytes:
    """A request of one image with random pixels."""
    shape = (1, *loaded.config.shape)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    message = pb.ModelInferRequest(model_name=loaded.artifact.name, raw_input_contents=[pixels.tobytes()])
    message.inputs.add(name=INPUT, datatype=INPUT_TYPE, shape=shape)
    return message.SerializeToString()
