import numpy as np
import pytest
from inference import grpc_service_pb2 as pb

from core.errors import BakeoffError, ExhaustedError, InvalidInputError, NotFoundError
from core.schemas.data import ImageSpec
from services.client import tensors

MAX = 64 << 20


def reply(probabilities: np.ndarray, raw: bool = True) -> pb.ModelInferResponse:
    response = pb.ModelInferResponse(model_name="m", model_version="3")
    output = response.outputs.add(name="probabilities", datatype="FP32", shape=probabilities.shape)
    if raw:
        response.raw_output_contents.append(probabilities.astype("<f4").tobytes())
    else:
        output.contents.fp32_contents.extend(probabilities.ravel().tolist())
    return response


def test_a_request_carries_the_pixels_unchanged_with_their_shape():
    images = np.arange(2 * 3 * 4 * 1, dtype=np.uint8).reshape(2, 3, 4, 1)
    request = tensors.infer_request("m", images, 7, MAX)
    assert (request.model_name, request.model_version) == ("m", "7")
    assert (request.inputs[0].name, request.inputs[0].datatype, list(request.inputs[0].shape)) == (
        "image", "UINT8", [2, 3, 4, 1],
    )  # fmt: skip
    assert request.raw_input_contents[0] == images.tobytes()


def test_pixels_of_a_view_are_sent_in_row_major_order():
    images = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)[:, ::-1]
    request = tensors.infer_request("m", images, None, MAX)
    assert request.model_version == ""
    assert np.array_equal(np.frombuffer(request.raw_input_contents[0], np.uint8).reshape(images.shape), images)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((1, 2, 2, 1), np.float32), "float32"),
        ([[0]], "list"),
        (np.zeros((2, 2, 1), np.uint8), r"\[2, 2, 1\]"),
        (np.zeros((0, 2, 2, 1), np.uint8), "at least one image"),
    ],
)
def test_images_that_are_no_uint8_batch_are_refused_before_the_wire(images, words):
    with pytest.raises(InvalidInputError, match=words):
        tensors.infer_request("m", images, None, MAX)


def test_a_batch_larger_than_a_message_is_refused_with_both_sizes():
    with pytest.raises(ExhaustedError, match=r"8 images are 8192 bytes, more than a message of 8192"):
        tensors.infer_request("m", np.zeros((8, 32, 32, 1), np.uint8), None, 8192)


@pytest.mark.parametrize("raw", [True, False])
def test_probabilities_are_read_from_raw_and_from_typed_contents(raw):
    expected = np.array([[0.25, 0.75], [1, 0]], np.float32)
    found = tensors.prediction(reply(expected, raw), 2)
    assert found.probabilities.dtype == np.float32
    assert np.array_equal(found.probabilities, expected)
    assert found.model_version == "3"
    assert (found.server_ns, found.batch_size) == ({}, 0)


def test_the_output_is_found_by_name_among_others():
    response = pb.ModelInferResponse(model_name="m")
    response.outputs.add(name="logits", datatype="FP32", shape=(1, 1))
    response.outputs.add(name="probabilities", datatype="FP32", shape=(1, 2))
    response.raw_output_contents.extend([b"xxxx", np.array([0.5, 0.5], "<f4").tobytes()])
    assert tensors.prediction(response, 1).probabilities.tolist() == [[0.5, 0.5]]


def test_server_timings_are_read_from_any_number_type_and_text_is_ignored():
    response = reply(np.ones((1, 1), np.float32))
    response.parameters["queue_ns"].int64_param = 5
    response.parameters["infer_ns"].uint64_param = 6
    response.parameters["postprocess_ns"].double_param = 7.0
    response.parameters["batch_size"].int64_param = 4
    response.parameters["trace_ns"].string_param = "abc"
    response.parameters["other"].int64_param = 9
    found = tensors.prediction(response, 1)
    assert found.server_ns == {"queue": 5, "infer": 6, "postprocess": 7, "trace": 0}
    assert found.batch_size == 4


def broken_rows() -> pb.ModelInferResponse:
    return reply(np.ones((2, 1), np.float32))


def broken_type() -> pb.ModelInferResponse:
    response = reply(np.ones((1, 1), np.float32))
    response.outputs[0].datatype = "FP64"
    return response


def broken_name() -> pb.ModelInferResponse:
    response = reply(np.ones((1, 1), np.float32))
    response.outputs[0].name = "Identity:0"
    return response


def broken_bytes() -> pb.ModelInferResponse:
    response = reply(np.ones((1, 3), np.float32))
    response.raw_output_contents[0] = response.raw_output_contents[0][:-1]
    return response


def broken_contents() -> pb.ModelInferResponse:
    response = reply(np.ones((1, 3), np.float32))
    del response.raw_output_contents[:]
    return response


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (broken_rows(), r"\[2, 1\] to 1 images"),
        (broken_type(), "FP64"),
        (broken_name(), "outputs: Identity:0"),
        (broken_bytes(), "2 numbers"),
        (broken_contents(), "0 numbers"),
        (pb.ModelInferResponse(model_name="m"), "outputs: none"),
    ],
)
def test_a_reply_that_does_not_answer_the_request_is_named(response, words):
    with pytest.raises(BakeoffError, match=words):
        tensors.prediction(response, 1)


def test_joined_predictions_keep_their_order_and_sum_their_phases():
    one = tensors.Prediction(np.array([[1.0]], np.float32), {"queue": 1}, 4, "1")
    two = tensors.Prediction(np.array([[2.0], [3.0]], np.float32), {"queue": 2, "infer": 5}, 2, "1")
    joined = tensors.join([one, two])
    assert joined.probabilities.tolist() == [[1.0], [2.0], [3.0]]
    assert joined.server_ns == {"queue": 3, "infer": 5}
    assert joined.batch_size == 4


def test_the_image_contract_is_read_from_model_parameters():
    spec = ImageSpec(height=4, width=5, color="grey", filter="box")
    response = pb.ModelConfigResponse()
    response.config.name = "m"
    response.config.parameters["bakeoff.preprocess"].string_value = spec.model_dump_json()
    assert tensors.image_contract(response) == tensors.ImageContract(spec, ())
    response.config.parameters["bakeoff.classes"].string_value = '["cat", "d\\u00f6g"]'
    assert tensors.image_contract(response).classes == ("cat", "dög")


def test_a_model_that_bakeoff_did_not_publish_has_no_image_contract():
    response = pb.ModelConfigResponse()
    response.config.name = "stranger"
    with pytest.raises(NotFoundError, match=r"'stranger' has no parameter 'bakeoff\.preprocess'"):
        tensors.image_contract(response)


def test_class_names_that_are_no_list_of_texts_are_named():
    response = pb.ModelConfigResponse()
    response.config.name = "m"
    response.config.parameters["bakeoff.preprocess"].string_value = ImageSpec(height=4, width=5).model_dump_json()
    response.config.parameters["bakeoff.classes"].string_value = "cat, dog"
    with pytest.raises(InvalidInputError, match=r"bakeoff\.classes of model 'm' is not valid"):
        tensors.image_contract(response)


def test_an_unreadable_image_contract_names_model_and_key():
    response = pb.ModelConfigResponse()
    response.config.name = "m"
    response.config.parameters["bakeoff.preprocess"].string_value = '{"height": 4}'
    with pytest.raises(InvalidInputError, match="model 'm' is not valid: width"):
        tensors.image_contract(response)
