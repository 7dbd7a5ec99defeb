import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference import grpc_service_pb2 as pb

from core.errors import InvalidInputError
from services.serving.requests import Tensor
from services.serving.tensors import ENCODINGS, read_inputs, write_raw, write_typed

NUMERIC = sorted(set(ENCODINGS) - {"BYTES"})
TYPED = sorted(name for name, encoding in ENCODINGS.items() if encoding.field)


def request(datatype: str, shape: list[int], raw: bytes | None = None, **contents) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest()
    message.inputs.add(name="x", datatype=datatype, shape=shape)
    if contents:
        message.inputs[0].contents.MergeFrom(pb.InferTensorContents(**contents))
    if raw is not None:
        message.raw_input_contents.append(raw)
    return message


def problem(message: pb.ModelInferRequest) -> str:
    with pytest.raises(InvalidInputError) as caught:
        read_inputs(message)
    return str(caught.value)


@pytest.mark.parametrize("datatype", NUMERIC)
def test_raw_data_of_every_numeric_datatype_is_read_as_it_was_written(datatype):
    dtype = ENCODINGS[datatype].dtype
    array = np.array([[0, 1], [1, 0], [1, 1]]).astype(dtype)
    (tensor,) = read_inputs(request(datatype, [3, 2], array.tobytes()))
    assert tensor.array.dtype == dtype
    assert (tensor.array == array).all()
    assert write_raw(tensor) == array.tobytes()


@pytest.mark.parametrize("datatype", TYPED)
def test_typed_contents_of_every_datatype_survive_a_round_trip(datatype):
    values = [b"a", b""] if datatype == "BYTES" else [1, 0]
    array = np.array(values, ENCODINGS[datatype].dtype)
    message = request(datatype, [2])
    write_typed(Tensor("x", datatype, array), message.inputs[0].contents)
    (tensor,) = read_inputs(message)
    assert tensor.array.dtype == array.dtype
    assert tensor.array.tolist() == array.tolist()


def test_raw_pixels_are_a_view_of_the_message_not_a_copy():
    (tensor,) = read_inputs(request("UINT8", [2, 3], bytes(6)))
    assert tensor.array.base is not None
    assert not tensor.array.flags.writeable


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=20))
def test_raw_byte_strings_survive_a_round_trip(items):
    array = np.empty(len(items), object)
    array[:] = items
    raw = write_raw(Tensor("x", "BYTES", array))
    (tensor,) = read_inputs(request("BYTES", [len(items)], raw))
    assert tensor.array.tolist() == items


@settings(deadline=None)
@given(
    st.binary(max_size=64),
    st.sampled_from(sorted(ENCODINGS)),
    st.lists(st.integers(-3, 5) | st.integers(2**31, 2**63 - 1), max_size=10),
)
def test_any_bytes_are_read_or_refused_but_never_crash(raw, datatype, shape):
    try:
        (tensor,) = read_inputs(request(datatype, shape, raw))
    except InvalidInputError:
        return
    assert tensor.array.shape == tuple(shape)


def test_raw_data_of_the_wrong_length_names_both_lengths():
    assert "783 bytes, expected 784 for UINT8 [1, 28, 28, 1]" in problem(request("UINT8", [1, 28, 28, 1], bytes(783)))


def test_a_huge_shape_is_refused_without_reserving_memory():
    assert "expected 1000000000" in problem(request("UINT8", [10**3] * 3, b"x"))
    assert "the largest 100000; expected at most 8" in problem(request("UINT8", [10**5] * 3, b"x"))


@pytest.mark.parametrize("datatype", ["UINT8", "FP64", "BYTES"])
@pytest.mark.parametrize("shape", [[0, 2**62, 2**62], [0, 2**31, 2**31], [1] * 9, [0] * 70, [2**63 - 1]])
def test_a_shape_that_numpy_cannot_hold_is_refused(datatype, shape):
    assert f"has {len(shape)} dimensions" in problem(request(datatype, shape, b""))


def test_a_negative_size_is_refused():
    assert "must not be negative" in problem(request("UINT8", [-1, 2], b"xx"))


def test_an_unknown_datatype_lists_the_known_ones():
    assert "unknown datatype 'INT4'; known: BOOL, UINT8" in problem(request("INT4", [1], b"x"))


def test_raw_and_typed_data_together_are_refused():
    assert "both contents and raw_input_contents" in problem(request("UINT8", [1], b"x", uint_contents=[1]))


def test_fewer_raw_entries_than_inputs_are_refused():
    message = request("UINT8", [1], b"x")
    message.inputs.add(name="y", datatype="UINT8", shape=[1])
    assert "1 entries for 2 inputs" in problem(message)


def test_typed_data_in_the_wrong_field_names_the_right_one():
    assert "send uint_contents" in problem(request("UINT8", [1], int_contents=[1]))


def test_typed_data_out_of_range_names_the_value():
    assert "holds 256, expected 0 to 255 for UINT8" in problem(request("UINT8", [2], uint_contents=[0, 256]))
    assert "holds -129, expected -128 to 127 for INT8" in problem(request("INT8", [1], int_contents=[-129]))


def test_typed_data_of_the_wrong_count_names_both_counts():
    assert "has 3 elements in uint_contents, expected 4" in problem(request("UINT8", [2, 2], uint_contents=[1, 2, 3]))


def test_half_precision_has_no_typed_field():
    assert "send raw_input_contents" in problem(request("FP16", [1], fp32_contents=[1.0]))


def test_a_cut_off_byte_string_is_refused():
    assert "cut off" in problem(request("BYTES", [1], b"\x05\x00\x00\x00abc"))
