"""The pacing of the scenarios, against a client that answers at once."""

import time
from typing import ClassVar

import numpy as np
from inference import grpc_service_pb2 as pb

from core.schemas.specs import LoadTestSpec
from loadtests import driver
from loadtests.arrivals import schedule
from loadtests.recorder import Recorder
from loadtests.sender import Sender
from loadtests.window import Window

CLASSES = 3


class Client:
    """Answers at once. Stands in for a server, whose time does not matter here."""

    max_message_bytes = 1 << 20

    async def infer(self, request: pb.ModelInferRequest) -> pb.ModelInferResponse:
        response = pb.ModelInferResponse(model_name=request.model_name, model_version="1")
        shape = (request.inputs[0].shape[0], CLASSES)
        response.outputs.add(name="probabilities", datatype="FP32", shape=shape)
        response.raw_output_contents.append(np.full(shape, 1 / CLASSES, "<f4").tobytes())
        return response


class Timed(Sender):
    """Notes how long after they were due queries were sent, in nanoseconds."""

    late_ns: ClassVar[list[int]] = []

    async def send(self, request: pb.ModelInferRequest, due_ns: int | None = None, late: bool = False) -> None:
        assert due_ns is not None
        self.late_ns.append(time.perf_counter_ns() - due_ns)
        await super().send(request, due_ns, late)


class Watched(Window):
    """Notes in which order things end."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder, lambda *_: None)
        self.ended: list[str] = []

    async def wait(self, *arguments) -> None:
        await super().wait(*arguments)
        self.ended.append("the duration")

    def stop_cpu(self) -> None:
        super().stop_cpu()
        self.ended.append("the generator's clock")


def run(**traffic) -> tuple[LoadTestSpec, list[int], Recorder, Watched]:
    names = {"model": "m", "version": 1, "artifact": "0" * 64, "runtime": "onnxruntime", "data": "0" * 64}
    spec = LoadTestSpec.model_validate({**names, "warmup_s": 0, **traffic})
    Timed.late_ns.clear()
    recorder = Recorder(None)
    window = Watched(recorder)
    driver.run(driver.drive(Timed(Client(), spec, np.zeros((1, 4, 5, 1), np.uint8), recorder), window))
    return spec, Timed.late_ns, recorder, window


def test_no_query_of_an_open_loop_leaves_before_it_is_due():
    spec, late_ns, recorder, _ = run(scenario="server", rate=300, duration_s=0.3, min_queries=50)
    due = schedule(spec.rate, spec.seed, spec.repeat, 0, 0.3, 50)
    assert len(late_ns) == len(due) == recorder.queries
    assert min(late_ns) >= 0


def test_an_offline_test_that_is_done_early_stops_the_generators_clock_then():
    _, late_ns, recorder, window = run(scenario="offline", users=2, duration_s=0.3, min_queries=20)
    assert len(late_ns) == recorder.queries == 20
    assert window.ended == ["the generator's clock", "the duration"]
