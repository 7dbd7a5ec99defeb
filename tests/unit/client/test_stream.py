"""What a stream's answers are matched by, also from servers that keep no order."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from inference import grpc_service_pb2 as pb

from core.errors import BakeoffError, ExhaustedError, InvalidInputError, NotReadyError
from services.client.aio_inference import AsyncInferenceClient
from services.client.inference import InferenceClient
from services.client.stream import Conversation

IMAGES = np.zeros((1, 2, 2, 1), np.uint8)


def answer(id_: str, value: float) -> pb.ModelStreamInferResponse:
    response = pb.ModelInferResponse(id=id_, model_name="m")
    response.outputs.add(name="probabilities", datatype="FP32", shape=(1, 1))
    response.raw_output_contents.append(np.float32([value]).tobytes())
    return pb.ModelStreamInferResponse(infer_response=response)


def test_answers_that_overtake_others_wait_for_their_turn():
    conversation = Conversation("m", None, 1 << 20)
    assert [conversation.request(IMAGES).id for _ in range(3)] == ["0", "1", "2"]
    assert list(conversation.answers(answer("2", 0.2))) == []
    failed = pb.ModelStreamInferResponse(error_message="too hot", infer_response=pb.ModelInferResponse(id="1"))
    assert list(conversation.answers(failed)) == []
    with pytest.raises(BakeoffError, match="with 1 requests unanswered"):
        conversation.check_complete()
    first, second, third = conversation.answers(answer("0", 0.5))
    assert first.probabilities == [[0.5]]
    assert str(second) == "too hot"
    assert third.probabilities == [[np.float32(0.2)]]
    with pytest.raises(BakeoffError, match="with 0 requests unanswered and batches left to send"):
        conversation.check_complete()
    assert conversation.take() is None
    conversation.check_complete()


@pytest.mark.parametrize("id_", ["0", "7", "", "x", "-1", "²"])
def test_an_answer_nobody_waits_for_is_an_error(id_):
    conversation = Conversation("m", None, 1 << 20)
    conversation.request(IMAGES)
    list(conversation.answers(answer("0", 0.5)))
    with pytest.raises(BakeoffError, match="nobody waits for"):
        list(conversation.answers(answer(id_, 0.5)))


def test_an_answer_that_makes_no_sense_is_the_error_of_its_request():
    conversation = Conversation("m", None, 1 << 20)
    conversation.request(np.zeros((2, 2, 2, 1), np.uint8))
    (found,) = conversation.answers(answer("0", 0.5))
    assert isinstance(found, BakeoffError)
    assert "expected FP32 [2, classes]" in str(found)


def refused(id_: str, code: str = "RESOURCE_EXHAUSTED", wait_ms: int | None = 250) -> pb.ModelStreamInferResponse:
    response = pb.ModelStreamInferResponse(error_message="what is wrong", infer_response=pb.ModelInferResponse(id=id_))
    if code:
        response.infer_response.parameters["grpc-code"].string_param = code
    if wait_ms is not None:
        response.infer_response.parameters["grpc-retry-pushback-ms"].int64_param = wait_ms
    return response


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("INVALID_ARGUMENT", InvalidInputError),
        ("UNAVAILABLE", NotReadyError),
        ("INTERNAL", BakeoffError),
        ("NOT_A_CODE", BakeoffError),
        ("", BakeoffError),
    ],
)
def test_an_error_is_of_the_kind_a_call_of_its_own_would_raise_where_the_server_tells(code, kind):
    conversation = Conversation("m", None, 1 << 20, attempts=3)
    conversation.request(IMAGES)
    response = refused("0", code, None)
    assert conversation.again(response) is None
    (found,) = conversation.answers(response)
    assert (type(found), str(found)) == (kind, "what is wrong")


def test_a_request_refused_for_now_is_sent_again_as_often_as_allowed_and_then_its_error_is_the_answer():
    conversation = Conversation("m", None, 1 << 20, attempts=2)
    request = conversation.request(IMAGES)
    before = time.monotonic()
    turn = conversation.again(refused("0"))
    assert turn.again == request
    assert before + 0.25 <= turn.due <= time.monotonic() + 0.25
    assert conversation.again(refused("0")) is None
    (found,) = conversation.answers(refused("0"))
    assert isinstance(found, ExhaustedError)
    assert found.retry_after_s == 0.25


@pytest.mark.parametrize("response", [refused("5"), refused("0", wait_ms=-1), answer("0", 0.5)])
def test_nothing_is_sent_again_that_was_not_refused_for_now(response):
    conversation = Conversation("m", None, 1 << 20, attempts=2)
    conversation.request(IMAGES)
    assert conversation.again(response) is None


def test_a_conversation_is_finished_when_there_is_nothing_to_send_and_nothing_to_come():
    conversation = Conversation("m", None, 1 << 20, batches=[IMAGES])
    assert conversation.take().id == "0"
    assert not conversation.finished
    assert conversation.take() is None
    assert not conversation.finished
    list(conversation.answers(answer("0", 0.5)))
    assert conversation.finished


Predict = Callable[..., list[object]]


@pytest.fixture(params=["sync", "asyncio"])
def predict_stream(request) -> Predict:
    """All answers of a stream, from the client of either kind."""

    def sync(target, batches, attempts, **keywords):
        with InferenceClient(target, attempts=attempts) as client:
            return list(client.predict_stream("m", batches, timeout_s=20, **keywords))

    async def awaited(target, batches, attempts, keywords):
        async with AsyncInferenceClient(target, attempts=attempts) as client:
            return [found async for found in client.predict_stream("m", batches, timeout_s=20, **keywords)]

    def aio(target, batches, attempts, **keywords):
        return asyncio.run(awaited(target, batches, attempts, keywords))

    return sync if request.param == "sync" else aio


class Full:
    """Refuses each request `times` times and then answers the first pixel."""

    def __init__(self, times: int) -> None:
        self.times, self.asked = times, Counter[str]()

    def __call__(self, requests: Iterator[pb.ModelInferRequest], _context: object) -> Iterator[object]:
        for request in requests:
            self.asked[request.id] += 1
            if self.asked[request.id] <= self.times:
                yield refused(request.id, wait_ms=5)
            else:
                yield answer(request.id, request.raw_input_contents[0][0])


BATCHES = [np.full((1, 2, 2, 1), number, np.uint8) for number in range(12)]


@pytest.mark.parametrize("in_flight", [1, 4, 50])
def test_batches_a_full_server_refuses_are_answered_in_the_end_and_in_their_order(serve, predict_stream, in_flight):
    server = Full(2)
    answers = predict_stream(serve(ModelStreamInfer=server), BATCHES, attempts=3, in_flight=in_flight)
    assert [found.probabilities[0, 0] for found in answers] == list(range(12))
    assert set(server.asked.values()) == {3}


def test_a_server_that_stays_full_is_asked_as_often_as_allowed(serve, predict_stream):
    server = Full(9)
    answers = predict_stream(serve(ModelStreamInfer=server), BATCHES[:3], attempts=2)
    assert [(type(found), found.retry_after_s) for found in answers] == [(ExhaustedError, 0.005)] * 3
    assert set(server.asked.values()) == {2}


def test_batches_that_break_off_end_the_stream_after_those_before(serve, predict_stream):
    def breaking() -> Iterator[np.ndarray]:
        yield from itertools.islice(BATCHES, 2)
        raise OSError("the disk is gone")

    server = Full(1)
    with pytest.raises(OSError, match="the disk is gone"):
        predict_stream(serve(ModelStreamInfer=server), breaking(), attempts=2)
    assert set(server.asked.values()) == {2}


def test_a_server_that_ends_the_stream_early_leaves_no_batch_without_a_word(serve, predict_stream):
    def leaving(requests: Iterator[pb.ModelInferRequest], _context: object) -> Iterator[object]:
        yield answer(next(requests).id, 0.5)

    # grpc.aio tells it by a write that failed.
    with pytest.raises(BakeoffError, match=r"left to send|with [0-9]+ requests unanswered|the stream broke off"):
        predict_stream(serve(ModelStreamInfer=leaving), BATCHES, attempts=2)
