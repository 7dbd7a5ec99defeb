"""What a stream's answers are matched by, also from servers that keep no order."""

import numpy as np
import pytest
from inference import grpc_service_pb2 as pb

from core.errors import BakeoffError
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
    with pytest.raises(BakeoffError, match="ended with 1 requests unanswered"):
        conversation.check_complete()
    first, second, third = conversation.answers(answer("0", 0.5))
    assert first.probabilities == [[0.5]]
    assert str(second) == "too hot"
    assert third.probabilities == [[np.float32(0.2)]]
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
