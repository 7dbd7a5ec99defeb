"""Random interleavings of good and bad requests, and damaged bytes: the server lives, answers and forgets nothing."""

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from inference import grpc_service_pb2 as pb

from tests.system.serving_process import ServingProcess, infer_request, probabilities, publish, serving
from tests.unit.serving import published

pytestmark = pytest.mark.system
MODEL, SERVICE = "linear", "/inference.GRPCInferenceService"
KINDS = ("shape", "negative", "huge", "datatype", "bytes", "none", "empty", "output", "model")
"""Of requests that are wrong; see `malformed`."""
MESSAGE_LIMIT, QUEUE = 1 << 16, 64
OK, FULL = grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED
REFUSED = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
LEFT = {grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}
COMMON = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck), "database": None}


@pytest.fixture(scope="module", params=["grpcio", "envoy"])
def transport(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def server(transport, tmp_path_factory) -> Iterator[ServingProcess]:
    folder = tmp_path_factory.mktemp("fire")
    publish(folder / "models", MODEL)
    limits = ("--max-message-bytes", str(MESSAGE_LIMIT), "--max-queue", str(QUEUE), "--max-batch", "4")
    with serving(folder, folder / "models", "--transport", transport, *limits) as running:
        yield running


def waiting(server: ServingProcess) -> float:
    """Images and requests that wait."""
    gauges = r"^(?:bakeoff_inference_queued_images|nv_inference_pending_request_count)\{.*\} (\S+)$"
    values = re.findall(gauges, server.metrics(), re.MULTILINE)
    assert len(values) == 2
    return sum(map(float, values))


def check_alive(server: ServingProcess) -> None:
    """It answers, nothing waits any more, and nothing unforeseen is in its log."""
    images = published.images(2, seed=77)
    answer = server.stub.ModelInfer(infer_request(MODEL, images, id="alive"), timeout=30)
    assert answer.id == "alive"
    np.testing.assert_allclose(probabilities(answer), expected(images), atol=1e-6)
    last = time.monotonic() + 5
    while waiting(server) and time.monotonic() < last:
        time.sleep(0.05)
    assert waiting(server) == 0
    assert server.process.poll() is None
    assert "incident" not in server.log.read_text()


def expected(images: np.ndarray) -> np.ndarray:
    return published.linear(published.weights())(images)


def malformed(kind: str, number: int) -> pb.ModelInferRequest:
    request = infer_request(MODEL, published.images(3, number), id=str(number))
    if kind == "shape":
        request.inputs[0].shape[1] += 1
    elif kind == "negative":
        request.inputs[0].shape[0] = -3
    elif kind == "huge":
        request.inputs[0].shape[0] = 2**62
    elif kind == "datatype":
        request.inputs[0].datatype = "FP32"
    elif kind == "bytes":
        request.raw_input_contents[0] = request.raw_input_contents[0][:-1]
    elif kind == "none":
        del request.inputs[:]
    elif kind == "empty":
        request.inputs[0].shape[0] = 0
        request.raw_input_contents[0] = b""
    elif kind == "output":
        request.outputs.add(name="nothing")
    else:
        request.model_name = "nobody"
    return request


@dataclass(frozen=True)
class Sent:
    call: grpc.Future
    allowed: set[grpc.StatusCode]
    number: int
    images: np.ndarray


@dataclass(frozen=True)
class Streamed:
    call: grpc.Call
    sent: list[tuple[str | None, np.ndarray]]
    """What is wrong with each request, None for nothing, and its images."""
    end: str
    strict: bool
    """Whether an error is to end the stream."""

    def check(self) -> None:
        """Answers come in order, each its own, and the stream ends as it may."""
        answered = 0
        with contextlib.suppress(grpc.RpcError):
            for response in self.call:
                self._check_answer(answered, response)
                answered += 1
        code = self.call.code()
        if code is OK:
            assert answered == len(self.sent)
            assert self.end != "garbage"
        else:
            assert code in self._allowed(answered), (code, self.call.details(), self.end, answered)

    def _check_answer(self, number: int, response: pb.ModelStreamInferResponse) -> None:
        kind, images = self.sent[number]
        answer = response.infer_response
        assert answer.id == str(number)
        if not response.error_message:
            assert kind is None
            np.testing.assert_allclose(probabilities(answer), expected(images), atol=1e-6)
            return
        assert not self.strict
        code = grpc.StatusCode[answer.parameters["grpc-code"].string_param]
        assert code in ({FULL} if kind is None else REFUSED), (code, kind, response.error_message)
        assert ("grpc-retry-pushback-ms" in answer.parameters) == (code is FULL)

    def _allowed(self, answered: int) -> set[grpc.StatusCode]:
        allowed = {"cancelled": LEFT, "late": LEFT, "garbage": {grpc.StatusCode.INVALID_ARGUMENT}}.get(self.end, set())
        if self.strict and answered < len(self.sent):
            return allowed | ({FULL} if self.sent[answered][0] is None else REFUSED)
        return allowed


class Fire(RuleBasedStateMachine):
    """Sends without waiting; the end of each story waits for all.

    Args:
        reads_all: whether the server reads a request before it refuses it for a full queue. One that does not cannot
            know that the request is wrong, too.
    """

    def __init__(self, server: ServingProcess, *, reads_all: bool) -> None:
        super().__init__()
        self._malformed = REFUSED if reads_all else REFUSED | {FULL}
        self._server, self._sent = server, []
        self._streams: list[Streamed] = []

    def _send(self, request, images, allowed, timeout=30.0) -> Sent:
        number = len(self._sent)
        request.id = str(number)
        self._sent.append(Sent(self._server.stub.ModelInfer.future(request, timeout=timeout), allowed, number, images))
        return self._sent[-1]

    @rule(count=st.integers(1, 40))
    def valid(self, count):
        images = published.images(count, seed=len(self._sent))
        self._send(infer_request(MODEL, images), images, {OK, FULL})

    @rule(kind=st.sampled_from(KINDS))
    def malformed(self, kind):
        self._send(malformed(kind, len(self._sent)), np.empty(0), self._malformed)

    @rule(count=st.integers(1, 40), wait_ms=st.sampled_from([0, 0, 1, 3]))
    def cancelled(self, count, wait_ms):
        images = published.images(count, seed=len(self._sent))
        sent = self._send(infer_request(MODEL, images), images, {OK, FULL} | LEFT)
        time.sleep(wait_ms / 1000)
        sent.call.cancel()

    @rule(count=st.integers(1, 40), timeout_ms=st.sampled_from([0.01, 0.5, 2]))
    def late(self, count, timeout_ms):
        images = published.images(count, seed=len(self._sent))
        self._send(infer_request(MODEL, images), images, {OK, FULL} | LEFT, timeout=timeout_ms / 1000)

    @rule(extra=st.integers(1, 3))
    def oversized(self, extra):
        request = infer_request(MODEL, published.images(1))
        request.raw_input_contents[0] = bytes(extra * MESSAGE_LIMIT)
        self._send(request, np.empty(0), {FULL})

    @rule(
        kinds=st.lists(st.sampled_from([None, None, None, None, *KINDS]), min_size=1, max_size=12),
        count=st.integers(1, 20),
        end=st.sampled_from(["half close", "cancelled", "late", "garbage"]),
        strict=st.booleans(),
        wait_ms=st.sampled_from([0, 0, 1, 3]),
    )
    def stream(self, kinds, count, end, strict, wait_ms):
        """Several requests on one stream, and one of the ends that a stream may have."""
        images = [published.images(1 + (count + number) % 20, seed=number) for number in range(len(kinds))]
        requests = []
        for number, kind in enumerate(kinds):
            request = infer_request(MODEL, images[number]) if kind is None else malformed(kind, number)
            request.id = str(number)
            requests.append(request.SerializeToString())
        if end == "garbage":
            requests.append(b"\xff")
        metadata = [("triton_grpc_error", "true")] if strict else []
        timeout = 0.002 if end == "late" else 30.0
        call = self._server.channel.stream_stream(
            f"{SERVICE}/ModelStreamInfer", response_deserializer=pb.ModelStreamInferResponse.FromString
        )(iter(requests), timeout=timeout, metadata=metadata)
        self._streams.append(Streamed(call, list(zip(kinds, images, strict=True)), end, strict))
        if end == "cancelled":
            time.sleep(wait_ms / 1000)
            call.cancel()

    def teardown(self):
        for sent in self._sent:
            code = sent.call.code()
            assert code in sent.allowed, (code, sent.call.details())
            if code is FULL and sent.allowed >= REFUSED:
                assert re.match(f"the queue of model '{MODEL}' is full: .* and 1 more exceed", sent.call.details())
            if code is OK:
                answer = sent.call.result()
                assert answer.id == str(sent.number)
                np.testing.assert_allclose(probabilities(answer), expected(sent.images), atol=1e-6)
        for stream in self._streams:
            stream.check()
        check_alive(self._server)


def test_no_interleaving_mixes_answers_loses_a_slot_or_ends_the_server(server, transport):
    run_state_machine_as_test(
        lambda: Fire(server, reads_all=transport == "grpcio"),
        settings=settings(max_examples=15, stateful_step_count=30, **COMMON),
    )


def damaged() -> st.SearchStrategy[bytes]:
    """A good request with a piece cut out, put in, or overwritten; or any bytes at all."""
    good = infer_request(MODEL, published.images(2), id="x").SerializeToString()
    place, piece = st.integers(0, len(good)), st.binary(max_size=6)
    overwritten = st.builds(lambda at, new: good[:at] + new + good[at + len(new) :], place, piece)
    inserted = st.builds(lambda at, new: good[:at] + new + good[at:], place, piece)
    cut = st.builds(lambda a, b: good[: min(a, b)] + good[max(a, b) :], place, place)
    # The fields before the pixels are where damage changes the meaning.
    head = st.builds(lambda at, new: good[:at] + new + good[at + 1 :], st.integers(0, 60), st.binary(max_size=2))
    return st.one_of(overwritten, inserted, cut, head, st.binary(max_size=200))


def test_damaged_bytes_are_refused_or_read_as_protobuf_reads_them(server):
    call, seen = server.channel.unary_unary(f"{SERVICE}/ModelInfer"), set()

    @settings(max_examples=200, **COMMON)
    @given(damaged())
    def fuzz(data: bytes) -> None:
        try:
            answer = pb.ModelInferResponse.FromString(call(data, timeout=30))
        except grpc.RpcError as error:
            code = error.code()
        else:
            code = OK
            request = pb.ModelInferRequest.FromString(data)
            assert (answer.id, answer.model_name) == (request.id, request.model_name)
        seen.add(code)
        try:
            pb.ModelInferRequest.FromString(data)
        except DecodeError:
            seen.add(DecodeError)
            assert code not in {OK, grpc.StatusCode.UNKNOWN}, code
        else:
            assert code in {OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}, (code, data)

    fuzz()
    assert {OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, DecodeError} <= seen, seen
    check_alive(server)
