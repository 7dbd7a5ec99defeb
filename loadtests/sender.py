"""Sends one query and records what became of it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import numpy as np
from inference import grpc_service_pb2 as pb
from numpy.typing import NDArray

from core.errors import BakeoffError
from core.schemas.specs import LoadTestSpec
from loadtests.images import draw
from loadtests.recorder import Recorder
from services.client import tensors
from services.client.aio_inference import AsyncInferenceClient

UNREADABLE = grpc.StatusCode.DATA_LOSS.name
"""Counted for a reply that arrived with OK but holds no probabilities."""
SEEDS_PER_REPEAT = 1_000_000
"""Callers are numbered apart over repeats, so that no two send the same images."""


def error_code(error: BakeoffError) -> str:
    """gRPC status code of a failed query."""
    cause = error.__cause__
    return str(cause.code().name) if isinstance(cause, grpc.RpcError) else UNREADABLE


@dataclass(frozen=True)
class Sender:
    """One connection for all callers, as a service in front of a model would have."""

    client: AsyncInferenceClient
    spec: LoadTestSpec
    images: NDArray[np.uint8]
    """uint8 [n, height, width, channels] to draw from."""
    recorder: Recorder

    def requests(self, caller: int) -> Iterator[pb.ModelInferRequest]:
        """What a caller sends, query by query. Raises ExhaustedError where a batch is larger than a message may be."""
        spec, limit = self.spec, self.client.max_message_bytes
        for images in draw(self.images, spec.batch_size, spec.seed, spec.repeat * SEEDS_PER_REPEAT + caller):
            yield tensors.infer_request(spec.model, images, spec.version, limit)

    async def send(self, request: pb.ModelInferRequest, due_ns: int | None = None, late: bool = False) -> None:
        """One query. Only the call is timed: building the request and reading the reply are the generator's.

        Args:
            request: of `requests`.
            due_ns: when latency begins; None: when it is sent.
            late: record how long after `due_ns` the query left.
        """
        spec, recorder = self.spec, self.recorder
        sent_ns = time.perf_counter_ns()
        began_ns = sent_ns if due_ns is None else due_ns
        late_ns = max(0, sent_ns - began_ns) if late else None
        try:
            response = await self.client.infer(request)
            ended_ns = time.perf_counter_ns()
            answer = tensors.prediction(response, spec.batch_size)
        except BakeoffError as error:
            recorder.failure(began_ns, error_code(error), late_ns)
        else:
            recorder.success(began_ns, ended_ns, spec.batch_size, answer.server_ns, answer.batch_size, late_ns)
