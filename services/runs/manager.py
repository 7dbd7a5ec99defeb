"""Accepts runs, starts their workers one per slot, watches them, resumes them after a restart."""

import asyncio
import contextlib
import json
import logging
import re
import shutil
import signal
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from core import disk, files, memory
from core.errors import AlreadyExistsError, ExhaustedError, InvalidInputError, NotFoundError, WrongStateError
from core.worker import EXIT_CANNOT_WRITE, EXIT_NAMED_ERROR, GOES_ON, WORK
from services.runs.executor import Executor, Handle
from services.runs.record import LOG, RECORD, EventReader, RunRecord

log = logging.getLogger(__name__)

POLL_S = 0.05
STOP_GRACE_S = 1.0
"""SIGTERM to SIGKILL; CancelRun promises two seconds in all."""
IDLE_ATTEMPTS = 3
FULL = ExhaustedError.__name__
RUN_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Work:
    """What a service knows about its runs."""

    accept: Callable[[str], tuple[str, str]]
    """Validates spec JSON; returns kind and canonical JSON. Raises a domain error where the run cannot start."""
    command: Callable[[Path, str], Sequence[str]]
    """The worker for a run folder and kind: its module and its arguments."""
    done: Callable[[str], bool] = lambda run_id: True
    """Whether the result of a run that succeeded is still there for others."""
    clean: Callable[[], None] = lambda: None
    """Removes what workers that were killed left outside their run folders; may be called while others work."""


class RunManager:
    """All runs of one service, in folders below `root`. Used from one event loop."""

    def __init__(self, root: Path, work: Work, executor: Executor, slots: int) -> None:
        self._root, self._work, self._executor, self._slots = root, work, executor, slots
        self._runs: dict[str, RunRecord] = {}
        self._unreadable: dict[str, str] = {}
        """Ids of runs whose records could not be read, with what is told to who asks for them."""
        self._queue: deque[str] = deque()
        self._active: dict[str, Handle] = {}
        self._starting: tuple[str, asyncio.Task[Handle]] | None = None
        self._stopping: set[str] = set()
        self._changed = asyncio.Condition()
        self._loop: asyncio.Task[None] | None = None
        self._lock: IO[str] | None = None
        self._oom_kills = memory.oom_kills()

    async def start(self) -> None:
        """Reads the run folders, queues what was not finished, oldest first, and begins to work."""
        self._root.mkdir(parents=True, exist_ok=True)
        self._lock = files.lock(self._root / ".lock", f"{self._root} is in use by another service; stop it first")
        for run in sorted(self._read(), key=lambda run: run.record.create_time):
            self._runs[run.record.id] = run
            if run.record.state == "running":
                self._retry(run, "lost with the service")
            elif not run.finished:
                self._queue.append(run.record.id)
        await self._clean()
        self._loop = asyncio.create_task(self._work_loop())

    def _read(self) -> Iterator[RunRecord]:
        """The runs on disk. One whose record cannot be read keeps none of the others from going on, nor its folder."""
        for path in self._root.glob(f"[!.]*/{RECORD}"):
            try:
                yield RunRecord.read(path.parent)
            except (InvalidInputError, OSError) as error:
                reason = f"{error}; mend it and restart the service, or move {path.parent} away: it starts afresh then"
                self._unreadable[path.parent.name] = reason
                log.error("a run is left out: %s", reason)

    async def stop(self) -> None:
        """Stops working. Workers end with this process; their runs stay unfinished on disk and resume later."""
        if self._loop:
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop
        if self._starting:
            run_id, start = self._starting
            with contextlib.suppress(OSError):
                self._active[run_id] = await start
        if self._active:
            await asyncio.gather(*(self._end(handle) for handle in self._active.values()))
            await self._clean()
        for run_id in self._active:
            if not self._runs[run_id].finished:
                self._runs[run_id].enter("queued", "the service stopped")
        self._active.clear()
        if self._lock is not None:
            self._lock.close()

    async def create(self, run_id: str, spec_json: str) -> RunRecord:
        """Accepts a run. The same id and spec again returns the same run; a failed or cancelled one is queued again.

        Raises:
            InvalidInputError, NotFoundError: the id or the spec is not valid, or what it names is not there.
            AlreadyExistsError: the id is another spec's.
            ExhaustedError, WrongStateError: the folder of runs has no room or cannot be written, or the run's own
                record cannot be read.
        """
        if not RUN_ID.fullmatch(run_id):
            raise InvalidInputError(f"run id {run_id!r} is not valid: expected 1 to 63 of [a-z0-9-]")
        # In a thread: looking at data and weights takes a while, and other calls go on meanwhile.
        kind, canonical = await asyncio.to_thread(self._work.accept, spec_json)
        with disk.named(self._root):
            queued = self._enter(run_id, kind, canonical)
        if queued:
            self._queue.append(run_id)
            await self._notify()
        return self._runs[run_id]

    def _enter(self, run_id: str, kind: str, spec_json: str) -> bool:
        """Puts a run among those that are known; whether it is to be worked on, again or for the first time."""
        known = self._runs.get(run_id)
        if known is None:
            if run_id in self._unreadable and (self._root / run_id).exists():
                raise WrongStateError(self._unreadable[run_id])
            self._runs[run_id] = RunRecord.create(self._root / run_id, kind, spec_json)
            return True
        if json.loads(known.spec_json()) != json.loads(spec_json):  # Another version may order keys otherwise.
            raise AlreadyExistsError(f"run {run_id!r} exists with another spec; choose another id")
        if not self._lacks_result(known) or run_id in self._active:
            return False
        known.record.idle_attempts = 0
        known.forget_outcome()
        known.enter("queued", "asked again")
        return True

    def _lacks_result(self, run: RunRecord) -> bool:
        """Over, but without a result for anybody: failed, cancelled, or succeeded into a store that was emptied."""
        return run.record.state in ("failed", "cancelled") or (
            run.record.state == "succeeded" and not self._work.done(run.record.id)
        )

    def get(self, run_id: str) -> RunRecord:
        """Raises NotFoundError for an unknown id."""
        if run_id not in self._runs:
            raise NotFoundError(f"no run {run_id!r} here")
        return self._runs[run_id]

    def list(self) -> list[RunRecord]:
        """All runs, newest first."""
        return sorted(self._runs.values(), key=lambda run: run.record.create_time, reverse=True)

    async def cancel(self, run_id: str) -> RunRecord:
        """Stops a run; a finished one stays as it is. Returns once its worker is gone."""
        run = self.get(run_id)
        # The stop goes on when the caller leaves: half a stop would hold the slot for ever.
        await asyncio.shield(asyncio.ensure_future(self._cancel(run)))
        return run

    async def _cancel(self, run: RunRecord) -> None:
        run_id = run.record.id
        if run.finished:
            return
        if run_id in self._queue:
            self._queue.remove(run_id)
        if handle := self._active.get(run_id):
            self._stopping.add(run_id)
            await self._end(handle)
            if self._active.get(run_id) is handle:
                del self._active[run_id]
            self._stopping.discard(run_id)
            await asyncio.to_thread(shutil.rmtree, run.folder / WORK, ignore_errors=True)
            await self._clean()
        if not run.finished:
            run.enter("cancelled", "cancelled on request")
        await self._notify()

    async def watch(self, run_id: str, after: int) -> AsyncIterator[tuple[int, dict[str, Any]]]:
        """Events with a number above `after`, then new ones, until the run is over."""
        run, reader = self.get(run_id), EventReader(self.get(run_id).folder, after)
        while True:
            over = run.finished  # Before reading: what was written until then is in the file.
            for event in reader.new():
                yield event
            if over and run.finished:
                return
            async with self._changed:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), 2 * POLL_S)

    async def _work_loop(self) -> None:
        """Goes on after an error such as a full disk: what could not be written is tried again at the next turn."""
        troubled = False
        while True:
            try:
                await self._turn()
                troubled = False
            except OSError:
                if not troubled:
                    log.exception("runs under %s cannot be kept on disk; trying again", self._root)
                troubled = True
            except Exception:
                # Whatever is wrong with one run, the others go on.
                log.exception("a turn of the runs under %s broke off", self._root)
                troubled = True
            await asyncio.sleep(POLL_S * (20 if troubled else 1))

    async def _turn(self) -> None:
        for run_id, handle in list(self._active.items()):
            status = self._executor.poll(handle)
            # Others may have ended it while this waited for an earlier one.
            mine = self._active.get(run_id) is handle and run_id not in self._stopping
            if status is not None and mine:
                self._conclude(self._runs[run_id], status)
                del self._active[run_id]
                if status != 0:
                    await self._clean()
                await self._notify()
        while self._queue and len(self._active) < self._slots:
            await self._launch(self._runs[self._queue[0]])

    async def _launch(self, run: RunRecord) -> None:
        """Starts the worker of the first run in the queue; others may ask for things, or cancel it, meanwhile."""
        run_id = run.record.id
        run.forget_outcome()
        run.record.mark = run.checkpoint_mark()
        run.enter("running")
        self._queue.popleft()
        command = self._work.command(run.folder, run.record.kind)
        self._starting = run_id, asyncio.create_task(asyncio.to_thread(self._executor.start, command, run.folder / LOG))
        try:
            handle = await asyncio.shield(self._starting[1])
        except (OSError, RuntimeError) as error:  # The second where there is no room for a thread.
            self._starting = None
            self._queue.appendleft(run_id)  # Until its failure is on disk.
            run.enter("failed", f"the worker cannot be started: {error}")
            self._queue.popleft()
            return
        self._starting = None
        if run.finished or run_id in self._queue:  # Cancelled meanwhile, and perhaps asked for again.
            await self._end(handle)
            await self._clean()
        else:
            self._active[run_id] = handle

    def _conclude(self, run: RunRecord, status: int) -> None:
        if status == 0 and run.has_result():
            run.enter("succeeded")
        elif status == EXIT_NAMED_ERROR:
            told = run.told_error()
            run.enter("failed", told.text, told.kind)
        elif status == EXIT_CANNOT_WRITE:
            self._fail_without_room(run)
        elif status >= 0:
            reason = run.told_error().text or run.last_log_line()
            run.enter("failed", f"the worker ended with status {status}: {reason} (see {run.folder / LOG})")
        elif status == -signal.SIGKILL:
            self._retry(run, *self._killed(), f"give it more memory, or smaller batches; {_last_words(run)}")
        else:
            self._retry(run, f"killed by {_signal_name(-status)}", advice=_last_words(run))

    def _fail_without_room(self, run: RunRecord) -> None:
        """The run fails even where that cannot be kept: on disk it still runs, so the next start goes on with it."""
        told = run.told_error()
        kind = told.kind or FULL
        reason = told.text or (
            f"nothing can be written in {run.folder}: no room, read-only or no right; mend that and start it again; "
            f"{GOES_ON}"
        )
        try:
            run.enter("failed", reason, kind)
        except OSError:
            log.exception("the failure of run %s cannot be kept on disk", run.record.id)
            changes = {"state": "failed", "error": reason, "error_kind": kind, "end_time": time.time()}
            run.record = run.record.model_copy(update=changes)

    def _killed(self) -> tuple[str, str]:
        """Why a worker was ended by force, as far as the control group knows, and the kind of error that is."""
        before, self._oom_kills = self._oom_kills, memory.oom_kills()
        if self._oom_kills == before:
            return "lost (memory, eviction, node)", ""
        limit = memory.limit_bytes()
        return "out of memory" + (f": the limit here is {limit >> 20} MiB" if limit else ""), FULL

    def _retry(self, run: RunRecord, reason: str, kind: str = "", advice: str = "") -> None:
        """A worker killed by a signal is tried again from its checkpoint, three times without a new one at most."""
        run.record.idle_attempts = 1 + run.record.idle_attempts * (run.checkpoint_mark() == run.record.mark)
        if run.record.idle_attempts >= IDLE_ATTEMPTS:
            told = f"{reason}; {IDLE_ATTEMPTS} attempts without progress"
            run.enter("failed", f"{told}; {advice}" if advice else told, kind)
            return
        run.enter("queued", f"{reason}; resuming")
        self._queue.append(run.record.id)

    async def _end(self, handle: Handle) -> None:
        self._executor.signal(handle, force=False)
        deadline = asyncio.get_running_loop().time() + STOP_GRACE_S
        while self._executor.poll(handle) is None:
            if asyncio.get_running_loop().time() > deadline:
                self._executor.signal(handle, force=True)
            await asyncio.sleep(POLL_S / 5)

    async def _clean(self) -> None:
        try:
            await asyncio.to_thread(self._work.clean)
        except OSError:
            log.exception("what killed workers left could not be removed")

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _last_words(run: RunRecord) -> str:
    """Of a worker that was killed."""
    return f"its last line: {run.last_log_line()} (see {run.folder / LOG})"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # One of the real-time signals.
        return f"signal {number}"
