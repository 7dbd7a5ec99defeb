"""The threads that compute: each takes the next batch and hands its outcome to the event loop, with nothing between."""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")


class Workers(Generic[Job, Outcome]):
    """Threads for one kind of work. Create it inside a running event loop.

    An executor would make a future with its own lock for every job and wake the loop for it; here one call does.

    Args:
        work: runs in one of the threads and must not raise.
        done: is told the job and its outcome, in the event loop; it must not raise either.
    """

    def __init__(
        self, name: str, count: int, work: Callable[[Job], Outcome], done: Callable[[Job, Outcome], None]
    ) -> None:
        self._work, self._done, self._count = work, done, count
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._finished: deque[tuple[Job, Outcome]] = deque()
        for number in range(count):
            threading.Thread(target=self._run, name=f"infer-{name}-{number}", daemon=True).start()

    def submit(self, job: Job) -> None:
        """Has an idle thread, or the next one that is, do the job."""
        self._jobs.put(job)

    def deliver(self) -> None:
        """Hands over what is finished. The event loop does it by itself, once a turn; whoever cannot wait may before.

        With thousands of calls to refuse a turn takes long, and until its end no thread would get its next job.
        """
        while self._finished:
            self._done(*self._finished.popleft())

    def close(self) -> None:
        """Ends the threads once what was submitted is done."""
        for _ in range(self._count):
            self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._finished.append((job, self._work(job)))
            del job
            # The loop may be closed already when the process ends: then nobody waits.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self.deliver)
