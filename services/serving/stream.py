"""Works on many items of a stream at the same time and gives the results in the order of the items."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def in_order(
    items: AsyncIterator[Item], work: Callable[[Item], Awaitable[Result]], window: int
) -> AsyncIterator[Result]:
    """Starts `work` for each item as it comes, at most `window` at a time.

    Everything still running is cancelled when the caller stops reading, or when `items` or `work` raises.
    """
    room = asyncio.Semaphore(window)
    started: asyncio.Queue[asyncio.Future[Result] | None] = asyncio.Queue()
    running: set[asyncio.Future[Result]] = set()

    async def read() -> None:
        try:
            await room.acquire()
            async for item in items:
                task = asyncio.ensure_future(work(item))
                running.add(task)
                task.add_done_callback(running.discard)
                started.put_nowait(task)
                await room.acquire()
        finally:
            started.put_nowait(None)

    reader = asyncio.ensure_future(read())
    try:
        while (task := await started.get()) is not None:
            yield await task
            room.release()
        await reader
    finally:
        reader.cancel()
        for unfinished in running:
            unfinished.cancel()
