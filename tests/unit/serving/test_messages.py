import time

import numpy as np
import pytest
from inference import grpc_service_pb2 as pb

from core.errors import InvalidInputError
from services.serving import messages
from services.serving.requests import InferResult, OutputRequest, Tensor, Timing

TIMING = Timing(queue_ns=1, preprocess_ns=2, infer_ns=3, postprocess_ns=4, batch_size=5)


def request(**fields) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name="m", id="7", raw_input_contents=[b"x"], **fields)
    message.inputs.add(name="image", datatype="UINT8", shape=[1])
    return message


def result(typed: bool) -> InferResult:
    tensor = Tensor("probabilities", "FP32", np.array([[0.25, 0.75]], np.float32))
    return InferResult("m", 3, "7", (tensor,), TIMING, typed)


def with_output(**parameters) -> pb.ModelInferRequest:
    message = request()
    output = message.outputs.add(name="probabilities")
    for key, value in parameters.items():
        output.parameters[key].CopyFrom(value)
    return message


def test_the_classification_parameter_of_an_output_is_read():
    message = with_output(classification=pb.InferParameter(int64_param=2))
    assert messages.infer_request(message, 0, None).outputs == (OutputRequest("probabilities", 2),)


@pytest.mark.parametrize("value", [pb.InferParameter(int64_param=0), pb.InferParameter(string_param="2")])
def test_a_classification_that_is_not_a_positive_number_is_refused(value):
    with pytest.raises(InvalidInputError, match="at least 1"):
        messages.infer_request(with_output(classification=value), 0, None)


def test_an_output_in_shared_memory_is_refused():
    with pytest.raises(InvalidInputError, match="shared memory"):
        messages.infer_request(with_output(shared_memory_region=pb.InferParameter(string_param="r")), 0, None)


def test_an_input_in_shared_memory_is_refused():
    message = request()
    del message.raw_input_contents[:]
    message.inputs[0].parameters["shared_memory_region"].string_param = "r"
    with pytest.raises(InvalidInputError, match="shared memory"):
        messages.infer_request(message, 0, None)


def test_the_calls_deadline_and_the_timeout_parameter_are_two_limits():
    now = time.monotonic_ns()
    message = request(parameters={"timeout": pb.InferParameter(int64_param=2_000_000)})
    found = messages.infer_request(message, now, None)
    assert (found.deadline_ns, found.timeout_us) == (None, 2_000_000)
    found = messages.infer_request(message, now, 0.5)
    assert found.deadline_ns is not None
    assert now + 500_000_000 <= found.deadline_ns < now + 1_000_000_000
    assert messages.infer_request(request(), now, None).timeout_us == 0


def test_a_timeout_of_zero_is_none_as_in_triton():
    message = request(parameters={"timeout": pb.InferParameter(int64_param=0)})
    assert messages.infer_request(message, 0, None).timeout_us == 0


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (pb.InferParameter(string_param="1s"), 'string_param: "1s"'),
        (pb.InferParameter(int64_param=-1), "int64_param: -1"),
        (pb.InferParameter(), "empty"),
    ],
)
def test_a_timeout_that_is_no_number_of_microseconds_is_refused_with_what_it_is(value, told):
    with pytest.raises(InvalidInputError, match=f"'timeout' is {told}, expected a whole number of microseconds"):
        messages.infer_request(request(parameters={"timeout": value}), 0, None)


def test_a_timeout_may_be_unsigned():
    message = request(parameters={"timeout": pb.InferParameter(uint64_param=2**64 - 1)})
    assert messages.infer_request(message, 0, None).timeout_us == 2**64 - 1


def test_a_raw_request_gets_a_raw_answer_with_id_version_and_timing():
    response = messages.infer_response(result(typed=False))
    assert (response.model_name, response.model_version, response.id) == ("m", "3", "7")
    assert np.frombuffer(response.raw_output_contents[0], "<f4").tolist() == [0.25, 0.75]
    assert list(response.outputs[0].shape) == [1, 2]
    assert {key: value.int64_param for key, value in response.parameters.items()} == {
        "queue_ns": 1,
        "preprocess_ns": 2,
        "infer_ns": 3,
        "postprocess_ns": 4,
        "batch_size": 5,
    }


def test_a_typed_request_gets_a_typed_answer():
    response = messages.infer_response(result(typed=True))
    assert list(response.outputs[0].contents.fp32_contents) == [0.25, 0.75]
    assert not response.raw_output_contents


def test_a_repository_name_is_refused():
    with pytest.raises(InvalidInputError, match="'other'"):
        messages.check_repository("other")


def test_an_error_in_a_stream_tells_id_code_and_when_to_try_again():
    told = messages.stream_error("7", "RESOURCE_EXHAUSTED", "full", (("grpc-retry-pushback-ms", "12"),))
    assert (told.error_message, told.infer_response.id) == ("full", "7")
    parameters = told.infer_response.parameters
    assert parameters["grpc-code"].string_param == "RESOURCE_EXHAUSTED"
    assert parameters["grpc-retry-pushback-ms"].int64_param == 12
    assert list(messages.stream_error("7", "NOT_FOUND", "none", ()).infer_response.parameters) == ["grpc-code"]
