"""Works on many items of a stream at the same time and gives the results in the order of the items."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def in_order(
    items: AsyncIterator[Item], work: Callable[[Item], Awaitable[Result]], window: int
) -> AsyncIterator[Result]:
    """Starts `work` for each item as it comes, at most `window` at a time.

    Everything still running is cancelled when the caller stops reading, or when `items` or `work` raises; what `work`
    raised for later items is lost then.
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
                task.add_done_callback(_seen)
                started.put_nowait(task)
                await room.acquire()
        finally:
            started.put_nowait(None)

    reader = asyncio.ensure_future(read())
    reader.add_done_callback(_seen)
    try:
        while (task := await started.get()) is not None:
            yield await task
            room.release()
        await reader
    finally:
        reader.cancel()
        for unfinished in running:
            unfinished.cancel()


def _seen(done: "asyncio.Future[Any]") -> None:
    """Looks at an error that perhaps nobody waits for any more: asyncio would log it as forgotten."""
    if not done.cancelled():
        done.exception()
