"""Decodes items on all cores, in order, with bounded memory.

Threads, not processes: Pillow lets go of the interpreter lock while it decodes and resizes. For images so small that
the lock is felt (28×28), handing pixels from process to process costs as much as it saves.
"""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from math import prod
from threading import Event
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from core import cpu, preprocess
from core.errors import InvalidInputError
from core.schemas.data import DataSpec
from trainer.preparation.sources import Listing, Tick

ResultT = TypeVar("ResultT")

TICK_S = 0.1
CHUNK_BYTES = 4 << 20
"""Decoded pixels handed over at once; three times this, for each thread, is all that is in memory."""
CHUNK_ITEMS = 64


@dataclass
class Chunk:
    """Some consecutive items of one split, decoded."""

    items: NDArray[np.int64]
    """[k] numbers of the items that could be decoded."""
    images: NDArray[np.uint8]
    """[k, height, width, channels]."""
    sums: NDArray[np.uint64]
    """[2, channels]: sum of pixels and of squared pixels. Whole numbers, so no order of adding changes them."""
    rejected: list[str] = field(default_factory=list)
    """One line for each item left out."""
    kinds: dict[bool, int] = field(default_factory=dict)
    """Grey (True) or colour (False) to the first such item."""
    examined: int = 0


def decode_items(
    listing: Listing, items: NDArray[np.int64], spec: DataSpec, tick: Tick
) -> Generator[Chunk, None, None]:
    """Decodes `items` in their order, calling `tick` every tenth of a second.

    Raises:
        InvalidInputError: the first item that cannot be decoded, unless spec.skip_corrupt.
    """
    size = max(1, min(CHUNK_ITEMS, CHUNK_BYTES // prod(spec.image.shape)))
    stop = Event()
    # One more than there are cores: somebody always waits for the disk or the interpreter lock.
    threads = cpu.threads() + 1
    pending: deque[Future[Chunk]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    try:
        for start in range(0, len(items), size):
            pending.append(pool.submit(_decode_chunk, listing, items[start : start + size], spec, stop))
            if len(pending) >= 3 * threads:
                yield _await(pending.popleft(), tick)
        while pending:
            yield _await(pending.popleft(), tick)
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _await(future: Future[ResultT], tick: Tick) -> ResultT:
    while True:
        wait((future,), TICK_S)
        tick()
        if future.done():
            return future.result()


def _decode_chunk(listing: Listing, items: NDArray[np.int64], spec: DataSpec, stop: Event) -> Chunk:
    images = np.empty((len(items), *spec.image.shape), dtype=np.uint8)
    kept: list[int] = []
    chunk = Chunk(items, images, np.zeros((2, spec.image.channels), dtype=np.uint64), examined=len(items))
    for item, source in zip(items.tolist(), listing.read(items), strict=True):
        if stop.is_set():
            break
        name = listing.name(item)
        try:
            image = preprocess.open_image(source, name)
            images[len(kept)] = preprocess.decode(image, spec.image, name)
        except InvalidInputError as error:
            if not spec.skip_corrupt:
                raise InvalidInputError(
                    f"{error}; repair or remove it, or leave such images out with skip_corrupt"
                ) from error
            chunk.rejected.append(str(error))
            continue
        chunk.kinds.setdefault(preprocess.is_grey(image), item)
        kept.append(item)
    chunk.items, chunk.images = np.array(kept, dtype=np.int64), images[: len(kept)]
    chunk.sums = _sums(chunk.images)
    return chunk


def _sums(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Adds up the images first, then their pixels: long contiguous rows are ten times as fast as a sum per channel."""
    rows = images.reshape(len(images), prod(images.shape[1:]))
    squares = np.square(rows, dtype=np.uint16)
    # A chunk has at most 64 images, so 32 bits hold 64 · 255².
    totals = [part.sum(axis=0, dtype=np.uint32) for part in (rows, squares)]
    return np.stack([total.reshape(-1, images.shape[-1]).sum(axis=0, dtype=np.uint64) for total in totals])
