"""Decoding in parallel: in order, with bounded memory, and stopped at once."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from core.errors import CancelledError, InvalidInputError
from core.schemas.data import DataSpec, DigitsSource, ImageSpec
from tests.unit.trainer.preparation.images import encoded, picture
from trainer.preparation import decoding
from trainer.preparation.arrays import ArrayWriter
from trainer.preparation.decoding import decode_items
from trainer.preparation.sources import Listing

SPEC = DataSpec(source=DigitsSource(), image=ImageSpec(height=5, width=6))


def nothing() -> None:
    pass


def listing(pictures: list[bytes]) -> Listing:
    def read(rows: NDArray[np.int64]) -> list[bytes | Path]:
        return [pictures[row] for row in rows]

    return Listing(("a", "b"), np.zeros(len(pictures), dtype=np.int64), {}, "item {}".format, read)


def numbered(n: int) -> list[bytes]:
    """Pictures of one value each: its number."""
    from PIL import Image

    return [encoded(Image.new("RGB", (6, 5), (i % 256,) * 3)) for i in range(n)]


def decoders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_items_come_back_in_the_order_asked_for(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(decoding, "CHUNK_ITEMS", chunk)
    items = np.arange(0, 200, 3)[::-1]
    chunks = list(decode_items(listing(numbered(200)), items, SPEC, nothing))
    images = np.concatenate([chunk.images for chunk in chunks])
    assert images[:, 0, 0, 0].tolist() == items.tolist()
    assert np.concatenate([chunk.items for chunk in chunks]).tolist() == items.tolist()


def test_no_items_give_no_chunks() -> None:
    assert list(decode_items(listing([]), np.arange(0), SPEC, nothing)) == []


def test_the_sums_are_those_of_the_pixels() -> None:
    pictures = [encoded(picture(seed)) for seed in range(10)]
    chunks = list(decode_items(listing(pictures), np.arange(10), SPEC, nothing))
    pixels = np.concatenate([chunk.images for chunk in chunks]).reshape(-1, 3).astype(np.int64)
    sums = sum((chunk.sums for chunk in chunks), np.zeros((2, 3), dtype=np.uint64))
    np.testing.assert_array_equal(sums, [pixels.sum(0), (pixels**2).sum(0)])


def test_sums_of_white_images_do_not_overflow() -> None:
    white = np.full((64, 100, 100, 1), 255, dtype=np.uint8)
    assert decoding._sums(white).tolist() == [[255 * 640_000], [255 * 255 * 640_000]]


def test_of_several_damaged_images_always_the_first_is_named() -> None:
    pictures = numbered(300)
    pictures[70] = pictures[20] = pictures[290] = b"damaged"
    with pytest.raises(InvalidInputError, match=r"item 20 cannot be decoded: .*skip_corrupt"):
        list(decode_items(listing(pictures), np.arange(300), SPEC, nothing))
    assert not decoders()


def test_damaged_images_are_left_out_and_listed_when_asked() -> None:
    pictures = numbered(100)
    pictures[3], pictures[99] = b"", pictures[99][:40]
    spec = SPEC.model_copy(update={"skip_corrupt": True})
    chunks = list(decode_items(listing(pictures), np.arange(100), spec, nothing))
    rejected = [line for chunk in chunks for line in chunk.rejected]
    assert rejected[0] == "item 3 cannot be decoded: it is empty (0 bytes)"
    assert rejected[1].startswith("item 99 cannot be decoded: ")
    assert sum(len(chunk.items) for chunk in chunks) == 98
    assert sum(chunk.examined for chunk in chunks) == 100


def test_reading_keeps_only_a_little_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "CHUNK_ITEMS", 2)
    monkeypatch.setattr("core.cpu.threads", lambda: 2)
    source = listing(numbered(200))
    read, reads = source.read, []

    def counting(rows: NDArray[np.int64]) -> list[bytes | Path]:
        reads.extend(rows.tolist())
        return read(rows)

    chunks = decode_items(
        Listing(source.classes, source.labels, {}, source.name, counting), np.arange(200), SPEC, nothing
    )
    next(chunks)
    time.sleep(0.1)
    assert len(reads) <= 2 * 3 * 3
    chunks.close()
    assert not decoders()


def test_cancelling_stops_within_a_second_although_images_are_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "CHUNK_ITEMS", 1)  # All would take half a minute.
    source = listing(numbered(500))

    def slow(rows: NDArray[np.int64]) -> list[bytes | Path]:
        time.sleep(0.2)
        return source.read(rows)

    def cancel() -> None:
        raise CancelledError("stop")

    start = time.monotonic()
    with pytest.raises(CancelledError):
        list(decode_items(Listing(source.classes, source.labels, {}, source.name, slow), np.arange(500), SPEC, cancel))
    assert time.monotonic() - start < 1
    assert not decoders()


def test_ticks_come_while_a_slow_image_is_awaited() -> None:
    source = listing(numbered(1))
    ticks: list[float] = []

    def slow(rows: NDArray[np.int64]) -> list[bytes | Path]:
        last = time.monotonic() + 30
        while len(ticks) < 3 and time.monotonic() < last:
            time.sleep(0.01)
        return source.read(rows)

    items = decode_items(
        Listing(source.classes, source.labels, {}, source.name, slow), np.arange(1), SPEC, lambda: ticks.append(0)
    )
    assert len(list(items)) == 1
    assert len(ticks) >= 3


@pytest.mark.parametrize("rows", [0, 1, 12, 100_000])
def test_an_array_written_row_by_row_is_the_one_numpy_would_write(tmp_path: Path, rows: int) -> None:
    values = np.arange(rows * 6, dtype=np.uint8).reshape(rows, 3, 2)
    with ArrayWriter(tmp_path / "a.npy", (3, 2), np.uint8) as writer:
        for part in np.array_split(values, 5):
            writer.append(part)
    np.save(tmp_path / "b.npy", values)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
