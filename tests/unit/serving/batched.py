"""A batcher under test and a predictor that waits and fails as told."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.serving.batcher import Batcher, BatchPolicy
from services.serving.compute import Execution

POISON = 255


class Echo:
    """A predictor that answers the first pixel of each image, waits while `gate` is closed and fails on POISON."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.calls: list[list[int]] = []

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.calls.append(images[:, 0].tolist())
        assert self.gate.wait(10)
        if (images[:, 0] == POISON).any():
            raise ValueError("poisoned")
        return images[:, :1].astype(np.float32)


def rows(*values: int) -> NDArray[np.uint8]:
    return np.array([[value, 0] for value in values], np.uint8)


def run(
    scenario: Callable[[Batcher, Echo], Awaitable[None]],
    *,
    max_batch: int = 8,
    max_delay_ns: int = 0,
    max_queue: int = 100,
    instances: int = 1,
    **limits: Any,
) -> list[Execution]:
    """Runs a scenario with a batcher of its own; returns what was observed."""
    observed: list[Execution] = []

    async def main() -> None:
        echo = Echo()
        policy = BatchPolicy(max_batch, max_delay_ns, max_queue, instances, **limits)
        batcher = Batcher("m", echo, policy, lambda execution, _: observed.append(execution))
        try:
            await scenario(batcher, echo)
        finally:
            echo.gate.set()
            batcher.close()

    asyncio.run(asyncio.wait_for(main(), 20))
    return observed


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def occupy(batcher: Batcher, echo: Echo, instances: int = 1) -> "list[asyncio.Task[object]]":
    """Keeps every instance busy until `echo.gate` opens."""
    echo.gate.clear()
    blockers: list[asyncio.Task[object]] = []
    for number in range(instances):
        blockers.append(asyncio.ensure_future(batcher.infer(rows(100 + number))))
        await until(lambda: len(echo.calls) == len(blockers))
    return blockers


async def queue(batcher: Batcher, *requests: NDArray[np.uint8], deadline_ns: int | None = None):
    tasks = [asyncio.ensure_future(batcher.infer(images, deadline_ns)) for images in requests]
    await asyncio.sleep(0)
    return tasks
