"""Dynamic batching: requests that wait at the same time are computed together.

The queue belongs to the event loop: anything is put in, taken out or answered there, so nothing locks; threads
only compute. A request whose caller left or whose time is up is dropped before it costs compute, and a failing batch is
computed again request by request, so that a broken request fails alone.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.errors import DeadlineError, ExhaustedError, NotReadyError
from services.serving.compute import Execution, Part, Predict, compute
from services.serving.workers import Workers

NEWEST = 0.1
"""Weight of the newest batch in the moving average of the compute time."""
LIGHT_NS = 500_000
"""Images that take the runtime less than this gain more from a larger batch than from a second instance."""
SHORTEST_RETRY_S, LONGEST_RETRY_S = 0.01, 5.0
ObserveBatch = Callable[[Execution, int], None]
"""An execution, and the nanoseconds from its end until its results were handed out."""


class WaitedTooLongError(DeadlineError):
    """The time that the queue's policy or the request allows was up before the work began."""


@dataclass(frozen=True)
class BatchPolicy:
    """How requests become batches."""

    max_batch: int
    """Most images computed at once."""
    max_delay_ns: int
    """How long the oldest request may wait for company while an instance is idle."""
    max_queue: int
    """Most images that may wait."""
    instances: int
    """Batches computed at the same time."""
    timeout_us: int = 0
    """Longest wait for a batch in microseconds; 0: no limit but the request's own."""
    may_shorten: bool = False
    """Whether a request may ask for less than `timeout_us`. It never gets more."""

    def wait_us(self, asked_us: int) -> int:
        """Longest wait of a request that asks for `asked_us`, 0 for nothing; 0: as long as it takes. As in Triton."""
        if not self.timeout_us or (self.may_shorten and 0 < asked_us < self.timeout_us):
            return asked_us
        return self.timeout_us


@dataclass(slots=True)
class Answer:
    """What the batcher gives for one request."""

    probabilities: NDArray[np.float32]
    """[n, classes]"""
    queue_ns: int
    input_ns: int
    infer_ns: int
    computed_ns: int
    """time.monotonic_ns at the end of the computation."""
    batch_size: int


@dataclass(eq=False, slots=True)
class _Waiting:
    """One request in the queue; a large one is taken out in several parts."""

    images: NDArray[np.uint8]
    deadline_ns: int | None
    answered: "asyncio.Future[Answer]"
    queued_ns: int
    wait_us: int = 0
    """Longest wait; 0: as long as it takes."""
    taken: int = 0
    started_ns: int = 0
    parts: dict[int, Part] = field(default_factory=dict)
    """By first row: instances finish the parts of a large request in any order."""

    @property
    def left(self) -> int:
        return len(self.images) - self.taken


@dataclass(slots=True)
class _Batch:
    """Which rows of which requests are computed together."""

    waiting: list[tuple[_Waiting, int]]
    """Each request with the first of its rows that is in this batch."""
    rows: list[NDArray[np.uint8]]


class Batcher:
    """The queue of one model and the threads that compute its batches. Create it inside a running event loop.

    Args:
        name: of the model, for messages and thread names.
        predict: images uint8 [n, ...] to probabilities float32 [n, classes]; called from `policy.instances` threads.
        observe: told about every batch computed, in the event loop.
    """

    def __init__(self, name: str, predict: Predict, policy: BatchPolicy, observe: ObserveBatch) -> None:
        self.policy = policy
        self._name, self._predict, self._observe = name, predict, observe
        self._loop = asyncio.get_running_loop()
        self._workers = Workers(name, policy.instances, self._compute, self._finish)
        self._idle = policy.instances
        self._queue: deque[_Waiting] = deque()
        self._queued = self._pending = 0
        self._soon: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._image_ns = 0.0
        """Time of the runtime for one image, a moving average."""

    @property
    def queued(self) -> int:
        """Images that wait."""
        return self._queued

    @property
    def pending(self) -> int:
        """Requests of which nothing is computed yet."""
        return self._pending

    def refusal(self, images: int = 1) -> ExhaustedError | None:
        """Why so many images more cannot wait now; None: they can."""
        if self._queued + images <= self.policy.max_queue:
            return None
        # What was computed during this turn of the event loop makes room, and its threads want their next batches.
        self._workers.deliver()
        if self._queued + images <= self.policy.max_queue:
            return None
        return ExhaustedError(
            f"the queue of model {self._name!r} is full: {self._queued} images wait and {images} more exceed "
            f"{self.policy.max_queue}; send fewer at a time or try again later",
            retry_after_s=self._retry_after_s(),
        )

    async def infer(self, images: NDArray[np.uint8], deadline_ns: int | None = None, timeout_us: int = 0) -> Answer:
        """Computes the probabilities of one request, together with whoever waits too.

        Args:
            images: uint8 [n, height, width, channels], n at least 1; n may exceed the largest batch.
            deadline_ns: time.monotonic_ns after which the request is not worth computing.
            timeout_us: longest wait the request asks for, which the policy may shorten; 0: none.

        Raises:
            ExhaustedError: the queue is full.
            DeadlineError: the deadline passed before the computation began.
            WaitedTooLongError: it waited longer than the policy or `timeout_us` allows.
            NotReadyError: the model is being unloaded.
            Exception: whatever the runtime raised for this request alone.
        """
        if self._closed:
            raise NotReadyError(f"model {self._name!r} is being unloaded; try again later")
        if (refusal := self.refusal(len(images))) is not None:
            raise refusal
        wait_us = self.policy.wait_us(timeout_us)
        waiting = _Waiting(images, deadline_ns, self._loop.create_future(), time.monotonic_ns(), wait_us)
        self._queue.append(waiting)
        self._queued += len(images)
        self._pending += 1
        # Not at once: requests that arrived in the same turn of the event loop share a batch.
        if self._idle and self._soon is None:
            self._soon = self._loop.call_soon(self._dispatch)
        try:
            return await waiting.answered
        except asyncio.CancelledError:
            self._withdraw(waiting)
            raise

    def close(self) -> None:
        """Ends the threads once they are done; what still waits fails with NotReadyError."""
        self._closed = True
        for waiting in list(self._queue):
            self._fail(waiting, NotReadyError(f"model {self._name!r} was unloaded; try again later"))
        self._workers.close()

    def _dispatch(self) -> None:
        """Starts batches while there is an idle instance and something due."""
        self._soon = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._idle and self._queue:
            if self._is_better_off_waiting():
                return
            delay_ns = self._delay_ns()
            if delay_ns > 0:
                self._timer = self._loop.call_later(delay_ns * 1e-9, self._dispatch)
                return
            batch = self._take()
            if not batch.rows:
                return
            self._idle -= 1
            self._workers.submit(batch)

    def _is_better_off_waiting(self) -> bool:
        """True where a batch that is being computed will soon make room for a larger one than could start now."""
        if self._idle == self.policy.instances or self._queued >= self.policy.max_batch:
            return False
        return 0 < self._image_ns < LIGHT_NS

    def _delay_ns(self) -> int:
        """How much longer the oldest request should wait for company."""
        if not self.policy.max_delay_ns or self._queued >= self.policy.max_batch:
            return 0
        return self._queue[0].queued_ns + self.policy.max_delay_ns - time.monotonic_ns()

    def _share(self) -> int:
        """Images that one instance should take of what waits.

        Of heavy images each instance takes its share, not all that fit: an instance that is idle now, or will be before
        a batch of all were done, computes the others meanwhile. Where more waits than all instances take at once
        batches are full all the same.
        """
        if self._image_ns < LIGHT_NS:
            return self.policy.max_batch
        return -(-self._queued // self.policy.instances)

    def _take(self) -> _Batch:
        """Takes the oldest requests, counted in images. Only one larger than a whole batch is divided."""
        batch, room, now = _Batch([], []), self.policy.max_batch, time.monotonic_ns()
        share = self._share()
        while self._queue and room:
            waiting = self._queue[0]
            if waiting.deadline_ns is not None and waiting.deadline_ns <= now:
                self._fail(waiting, DeadlineError("the deadline passed while the request waited; allow more time"))
                continue
            if waiting.wait_us and not waiting.taken and waiting.queued_ns + 1000 * waiting.wait_us <= now:
                self._fail(waiting, self._waited_too_long(waiting.wait_us))
                continue
            if batch.rows and waiting.left > min(room, share - (self.policy.max_batch - room)):
                break
            count = min(waiting.left, room)
            if not waiting.taken:
                waiting.started_ns = now
                self._pending -= 1
            batch.waiting.append((waiting, waiting.taken))
            batch.rows.append(waiting.images[waiting.taken : waiting.taken + count])
            waiting.taken += count
            room -= count
            self._queued -= count
            if not waiting.left:
                self._queue.popleft()
        return batch

    def _compute(self, batch: _Batch) -> list[Part | Exception]:
        """Computes a batch; runs in a thread."""
        return compute(self._predict, batch.rows)

    def _finish(self, batch: _Batch, outcomes: list[Part | Exception]) -> None:
        """Hands out the results, after the idle instance has its next batch."""
        self._idle += 1
        self._dispatch()
        for (waiting, first), outcome in zip(batch.waiting, outcomes, strict=True):
            if isinstance(outcome, Exception):
                self._fail(waiting, outcome)
            else:
                _keep(waiting, first, outcome)
        for execution in {
            id(outcome.execution): outcome.execution for outcome in outcomes if isinstance(outcome, Part)
        }.values():
            self._image_ns += NEWEST * (execution.infer_ns / execution.images - self._image_ns)
            self._observe(execution, time.monotonic_ns() - execution.ended_ns)

    def _retry_after_s(self) -> float:
        """About how long the queue takes; at random around it, lest all that were refused return at once."""
        expected = self._queued * self._image_ns * 1e-9 / self.policy.instances
        return min(max(expected, SHORTEST_RETRY_S), LONGEST_RETRY_S) * random.uniform(0.5, 1.5)

    def _waited_too_long(self, wait_us: int) -> WaitedTooLongError:
        return WaitedTooLongError(
            f"the request waited longer in the queue of model {self._name!r} than the {wait_us} µs it may; allow more "
            "(parameter timeout, or default_queue_policy in the model's config.pbtxt), or send fewer at a time"
        )

    def _fail(self, waiting: _Waiting, error: Exception) -> None:
        self._withdraw(waiting)
        if not waiting.answered.done():
            waiting.answered.set_exception(error)

    def _withdraw(self, waiting: _Waiting) -> None:
        """Takes what is left of a request out of the queue."""
        if waiting.left and waiting in self._queue:
            self._queue.remove(waiting)
            self._queued -= waiting.left
            self._pending -= not waiting.taken


def _keep(waiting: _Waiting, first: int, part: Part) -> None:
    """Answers a request whose last part this is."""
    if waiting.answered.done():
        return
    if len(part.probabilities) == len(waiting.images):
        waiting.answered.set_result(_answer(waiting, part.probabilities, [part.execution]))
        return
    waiting.parts[first] = part
    parts = [part for _, part in sorted(waiting.parts.items())]
    if sum(len(part.probabilities) for part in parts) == len(waiting.images):
        probabilities = np.concatenate([part.probabilities for part in parts])
        waiting.answered.set_result(_answer(waiting, probabilities, [part.execution for part in parts]))


def _answer(waiting: _Waiting, probabilities: NDArray[np.float32], executions: list[Execution]) -> Answer:
    queue_ns = waiting.started_ns - waiting.queued_ns
    if len(executions) == 1:
        (one,) = executions
        return Answer(probabilities, queue_ns, one.input_ns, one.infer_ns, one.ended_ns, one.images)
    return Answer(
        probabilities=probabilities,
        queue_ns=queue_ns,
        input_ns=sum(execution.input_ns for execution in executions),
        infer_ns=sum(execution.infer_ns for execution in executions),
        computed_ns=max(execution.ended_ns for execution in executions),
        batch_size=max(execution.images for execution in executions),
    )
