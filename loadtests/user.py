"""The Locust user: sends one ModelInfer after the other, each as soon as the last is answered (closed loop)."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import grpc
import grpc.experimental.gevent
import numpy as np
from locust import User, constant, task
from numpy.typing import NDArray

from core.errors import BakeoffError
from loadtests.images import draw
from services.client import tensors
from services.client.inference import InferenceClient
from services.client.tensors import Prediction

# Before any channel exists: without it a waiting call would stop every other user of the process (grpc#27340).
grpc.experimental.gevent.init_gevent()

UNREADABLE = grpc.StatusCode.DATA_LOSS.name
"""Counted for a reply that arrived with OK but holds no probabilities."""


@dataclass(frozen=True)
class Load:
    """What every user sends, and where to."""

    client: InferenceClient
    """One connection for the whole process, as a service in front of a model would have."""
    model: str
    version: int | None
    images: NDArray[np.uint8]
    """uint8 [n, height, width, channels] to draw from."""
    batch_size: int
    seed: int


@dataclass(frozen=True)
class Outcome:
    """One finished request; times are nanoseconds of `time.perf_counter_ns`."""

    began_ns: int
    ended_ns: int
    prediction: Prediction | None
    """None for a failed request."""
    error: BakeoffError | None
    bytes_received: int = 0

    @property
    def code(self) -> str:
        """gRPC status code of a failed request."""
        cause = self.error.__cause__ if self.error else None
        return str(cause.code().name) if isinstance(cause, grpc.RpcError) else UNREADABLE


class InferenceUser(User):
    """One caller. `load` is set on the class before the first user starts."""

    abstract = True
    wait_time = constant(0)
    load: ClassVar[Load]
    numbers: ClassVar[Iterator[int]] = itertools.count()

    def on_start(self) -> None:
        """Takes a number: with the seed it decides which images this user sends."""
        self._batches = draw(self.load.images, self.load.batch_size, self.load.seed, next(self.numbers))

    @task
    def infer(self) -> None:
        """One request. Only the call is timed: building the request and reading the reply are the generator's."""
        load = self.load
        images = next(self._batches)
        request = tensors.infer_request(load.model, images, load.version, load.client.max_message_bytes)
        began_ns = time.perf_counter_ns()
        try:
            response = load.client.infer(request)
            ended_ns = time.perf_counter_ns()
            prediction = tensors.prediction(response, len(images))
        except BakeoffError as error:
            ended_ns = time.perf_counter_ns()
            self.observe(Outcome(began_ns, ended_ns, None, error))
            return
        self.observe(Outcome(began_ns, ended_ns, prediction, None, response.ByteSize()))

    def observe(self, outcome: Outcome) -> None:
        """Tells Locust's own statistics: what its web page shows. A subclass may record more finely."""
        self.environment.events.request.fire(
            request_type="grpc",
            name=f"ModelInfer {self.load.model}",
            response_time=(outcome.ended_ns - outcome.began_ns) / 1e6,
            response_length=outcome.bytes_received,
            exception=outcome.error,
            context={},
        )
