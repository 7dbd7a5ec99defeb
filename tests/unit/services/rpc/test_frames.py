import zlib

import grpc
import pytest

from services.rpc import frames
from services.rpc.frames import FrameError, FrameReader, frame


def test_messages_are_put_together_however_the_bytes_are_cut():
    data = frame(b"first", "identity") + frame(b"", "identity") + frame(b"third", "identity")
    for size in range(1, len(data) + 1):
        reader = FrameReader(100, "identity")
        pieces = [data[start : start + size] for start in range(0, len(data), size)]
        assert [message for piece in pieces for message in reader.feed(piece)] == [b"first", b"", b"third"]
        reader.finish()


def test_a_message_cut_off_is_an_error():
    reader = FrameReader(100, "identity")
    assert reader.feed(frame(b"whole", "identity") + frame(b"cut", "identity")[:-1]) == [b"whole"]
    with pytest.raises(FrameError, match="ends within a message"):
        reader.finish()


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compression_goes_there_and_back(encoding):
    assert FrameReader(1000, encoding).feed(frame(b"a" * 900, encoding)) == [b"a" * 900]


def test_a_small_message_that_inflates_beyond_the_limit_is_refused():
    with pytest.raises(FrameError, match="at most 1000") as refused:
        FrameReader(1000, "gzip").feed(frame(bytes(10_000_000), "gzip"))
    assert refused.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_message_too_large_is_refused_before_it_arrived():
    with pytest.raises(FrameError, match="at most 1000"):
        FrameReader(1000, "identity").feed(frames.PREFIX.pack(0, 1001))


def test_what_claims_to_be_compressed_and_is_not_is_an_error():
    with pytest.raises(FrameError, match="not gzip"):
        FrameReader(1000, "gzip").feed(frames.PREFIX.pack(1, 4) + b"abcd")
    with pytest.raises(FrameError, match="known: gzip, deflate") as refused:
        FrameReader(1000, "zstd").feed(frames.PREFIX.pack(1, 4) + zlib.compress(b"")[:4])
    assert refused.value.code is grpc.StatusCode.UNIMPLEMENTED


def test_answers_are_compressed_only_for_callers_that_accept_it():
    assert frames.agreed("gzip", b"identity, deflate, gzip") == "gzip"
    assert frames.agreed("gzip", b"identity") == "identity"
    assert frames.agreed("none", b"gzip") == "identity"


def test_a_status_message_survives_the_headers_it_travels_in():
    details = "model 'ä' is 100 % full\n"
    ((_, code), (_, text)) = frames.status(grpc.StatusCode.NOT_FOUND, details)
    assert code == b"5"
    assert text == b"model '%C3%A4' is 100 %25 full%0A"
