import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference import grpc_service_pb2 as pb

from core.errors import InvalidInputError
from services.serving import messages
from services.serving.wire import REMEMBERED, InferWire


def wire() -> InferWire:
    return InferWire(None)  # type: ignore[arg-type]


def message(pixels: bytes = bytes(range(12)), shape=(1, 4, 3, 1), **fields) -> pb.ModelInferRequest:
    made = pb.ModelInferRequest(model_name="m", raw_input_contents=[pixels], **fields)
    made.inputs.add(name="image", datatype="UINT8", shape=shape)
    made.outputs.add(name="probabilities")
    return made


def same(one, other) -> None:
    """Two requests say the same."""
    fields = ("model", "version", "id", "outputs", "arrived_ns", "timeout_us", "typed")
    assert [getattr(one, name) for name in fields] == [getattr(other, name) for name in fields]
    assert [(t.name, t.datatype) for t in one.inputs] == [(t.name, t.datatype) for t in other.inputs]
    for mine, theirs in zip(one.inputs, other.inputs, strict=True):
        assert mine.array.dtype == theirs.array.dtype
        np.testing.assert_array_equal(mine.array, theirs.array)


def agrees(reader: InferWire, data: bytes) -> None:
    """A reader that remembers reads what one that does not reads."""
    same(reader.read(data, 7, None), messages.infer_request(pb.ModelInferRequest.FromString(data), 7, None))


def test_requests_of_a_known_kind_keep_their_own_pixels_and_ids():
    reader = wire()
    for id_ in ("", "1", "23", "", "x" * 127, "y" * 128, "ü"):
        for start in range(3):
            pixels = bytes((start + index) % 256 for index in range(12))
            agrees(reader, message(pixels, id=id_).SerializeToString())
    assert len(reader._kinds) == 1


def test_pixels_are_read_where_they_lie():
    reader, data = wire(), message().SerializeToString()
    reader.read(data, 0, None)
    tensor = reader.read(data, 0, None).inputs[0].array
    assert not tensor.flags.owndata
    assert not tensor.flags.writeable


def test_pixels_that_look_like_the_rest_of_the_message_are_still_pixels():
    reader, plain = wire(), message().SerializeToString()
    agrees(reader, plain)
    agrees(reader, message(plain[-12:]).SerializeToString())
    agrees(reader, message(plain[:12], id="a").SerializeToString())


def test_fields_in_an_unusual_order_are_read_by_the_rules():
    reader, data = wire(), message(id="one").SerializeToString()
    second_id = pb.ModelInferRequest(id="two").SerializeToString()
    for unusual in (second_id + data, data + second_id, pb.ModelInferRequest(id="a").SerializeToString() + data):
        agrees(reader, unusual)
        agrees(reader, unusual)


def test_a_shape_that_does_not_fit_is_refused_again_and_again():
    reader, data = wire(), message(shape=(2, 4, 3, 1)).SerializeToString()
    for _ in range(2):
        with pytest.raises(InvalidInputError, match="has 12 bytes, expected 24"):
            reader.read(data, 0, None)


def test_deadlines_belong_to_the_request_not_to_its_kind():
    reader, data = wire(), message().SerializeToString()
    assert reader.read(data, 0, None).deadline_ns is None
    assert reader.read(data, 0, 10.0).deadline_ns > time.monotonic_ns()
    assert reader.read(data, 0, None).deadline_ns is None


def test_a_time_limit_among_the_parameters_is_read_each_time():
    reader, timed = wire(), message()
    timed.parameters["timeout"].int64_param = 1_000_000
    for arrived in (5, 7):
        assert reader.read(timed.SerializeToString(), arrived, None).timeout_us == 1_000_000


def test_other_parameters_do_not_keep_a_request_from_being_known():
    reader, given = wire(), message()
    given.parameters["triton_enable_empty_final_response"].bool_param = True
    agrees(reader, given.SerializeToString())
    assert len(reader._kinds) == 1
    agrees(reader, given.SerializeToString())


def test_bytes_that_are_no_request_are_invalid_input():
    for data in (b"\xff", message().SerializeToString()[:-1], b"\x1a\x05ab"):
        with pytest.raises(InvalidInputError, match="not a ModelInferRequest"):
            wire().read(data, 0, None)


def test_an_id_that_is_no_text_is_invalid_input_for_a_known_kind_too():
    reader = wire()
    data = message(id="ab").SerializeToString()
    reader.read(data, 0, None)
    with pytest.raises(InvalidInputError, match="not a ModelInferRequest"):
        reader.read(data.replace(b"\x1a\x02ab", b"\x1a\x02\xff\xfe"), 0, None)


def test_kinds_are_forgotten_before_they_fill_the_memory():
    reader = wire()
    for number in range(3 * REMEMBERED):
        reader.read(message(model_version=str(number)).SerializeToString(), 0, None)
    assert 0 < len(reader._kinds) <= REMEMBERED


def test_a_request_with_a_lot_beside_its_pixels_is_not_remembered():
    reader = wire()
    agrees(reader, message(model_version="9" * 2000).SerializeToString())
    assert not reader._kinds


@given(st.lists(st.tuples(st.binary(min_size=12, max_size=12), st.text(max_size=5), st.booleans()), max_size=8))
def test_a_reader_that_remembers_agrees_with_one_that_does_not(requests):
    reader = wire()
    for pixels, id_, timed in requests:
        made = message(pixels, id=id_)
        if timed:
            made.parameters["priority"].int64_param = 1
        agrees(reader, made.SerializeToString())


@given(st.binary(max_size=60), st.integers(0, 60))
def test_damaged_requests_are_refused_or_read_as_the_rules_have_it(noise, position):
    reader, data = wire(), message(id="7").SerializeToString()
    reader.read(data, 0, None)
    damaged = data[:position] + noise + data[position + len(noise) :]
    try:
        parsed = messages.infer_request(pb.ModelInferRequest.FromString(damaged), 7, None)
    except Exception:
        with pytest.raises(InvalidInputError):
            reader.read(damaged, 7, None)
    else:
        same(reader.read(damaged, 7, None), parsed)
