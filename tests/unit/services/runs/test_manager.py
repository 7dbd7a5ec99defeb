"""Runs are real processes here: a small script that speaks core.worker's protocol."""

import asyncio
import errno
import itertools
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pydantic
import pytest

from core import files, memory
from core.errors import (
    AlreadyExistsError,
    BakeoffError,
    ExhaustedError,
    InvalidInputError,
    NotFoundError,
    WrongStateError,
)
from core.worker import ERROR, Failure
from services.client.control import raise_unless_succeeded
from services.runs.convert import run_to_proto
from services.runs.executor import Executor
from services.runs.manager import RunManager
from services.runs.record import RECORD, EventReader, RunRecord, drop_torn_event
from tests.unit.services.runs.managed import (
    EXECUTORS,
    Slow,
    drive,
    finished,
    manager,
    processes_of,
    spec,
    until,
)


@pytest.fixture(autouse=True, params=EXECUTORS)
def executor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Executor:
    """Every test here holds for both."""
    chosen = EXECUTORS[request.param]
    monkeypatch.setitem(EXECUTORS, "chosen", chosen)
    return chosen


def test_a_run_succeeds_and_its_events_have_no_gaps(tmp_path: Path) -> None:
    async def body(runs: RunManager) -> None:
        await runs.create("one", spec("work"))
        events = [event async for event in runs.watch("one", 0)]
        assert [number for number, _ in events] == list(range(1, len(events) + 1))
        assert events[-1][1]["state_change"]["state"] == "succeeded"
        assert json.loads(runs.get("one").result_json()) == {"attempts": 1}

    drive(tmp_path, body)


def test_watching_resumes_after_an_event_number(tmp_path: Path) -> None:
    async def body(runs: RunManager) -> None:
        await runs.create("one", spec("work"))
        everything = [event async for event in runs.watch("one", 0)]
        assert [event async for event in runs.watch("one", 2)] == everything[2:]
        assert [event async for event in runs.watch("one", len(everything))] == []

    drive(tmp_path, body)


def test_the_same_id_and_spec_is_the_same_run(tmp_path: Path) -> None:
    async def body(runs: RunManager) -> None:
        first = await runs.create("one", '{"do": "work", "a": 1}')
        assert await runs.create("one", '{"a": 1, "do": "work"}') is first
        await finished(runs, "one")
        assert await runs.create("one", '{"do": "work", "a": 1}') is first
        assert first.record.attempts == 1

    drive(tmp_path, body)


def test_a_spec_that_an_earlier_version_wrote_in_another_order_is_the_same(tmp_path: Path) -> None:
    async def before(runs: RunManager) -> None:
        await runs.create("one", '{"do": "work", "a": 1}')
        await finished(runs, "one")

    async def after(runs: RunManager) -> None:
        assert (await runs.create("one", '{"do": "work", "a": 1}')).record.attempts == 1

    drive(tmp_path, before)
    kept = json.loads((tmp_path / "one/spec.json").read_text())
    (tmp_path / "one/spec.json").write_text(json.dumps(dict(reversed(kept.items()))))
    drive(tmp_path, after)


def test_the_same_id_with_another_spec_already_exists(tmp_path: Path) -> None:
    async def body(runs: RunManager) -> None:
        await runs.create("one", spec("work"))
        with pytest.raises(AlreadyExistsError, match="another spec"):
            await runs.create("one", spec("fail"))

    drive(tmp_path, body)


@pytest.mark.parametrize("bad", ["", "UPPER", "a/b", "..", "-x", "x" * 64])
def test_an_id_that_is_no_label_is_refused(tmp_path: Path, bad: str) -> None:
    async def body(runs: RunManager) -> None:
        with pytest.raises(InvalidInputError, match="expected 1 to 63"):
            await runs.create(bad, spec("work"))

    drive(tmp_path, body)


def test_an_invalid_spec_leaves_nothing_behind(tmp_path: Path) -> None:
    async def body(runs: RunManager) -> None:
        with pytest.raises(InvalidInputError, match="Field required"):
            await runs.create("one", "{}")
        with pytest.raises(NotFoundError, match="no run 'one'"):
            runs.get("one")

    drive(tmp_path, body)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_named_error_fails_the_run_in_its_own_words_without_a_second_try(tmp_path: Path) -> None:
    async def body(runs: RunManager) -> None:
        await runs.create("one", spec("fail"))
        run = await finished(runs, "one")
        assert (run.record.state, run.record.error) == ("failed", "the spec asked for a failure")
        assert run.record.attempts == 1
        assert run_to_proto(run).error_code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
        with pytest.raises(InvalidInputError, match=r"^the spec asked for a failure$"):
            raise_unless_succeeded(run_to_proto(run))

    drive(tmp_path, body)


@pytest.mark.parametrize(
    ("do", "told"),
    [
        ("crash", "RuntimeError: a bug"),
        ("crash in a graph", "RuntimeError: shapes do not match"),
        ("crash in a loader", "ValueError: a truncated file"),
    ],
)
def test_a_crash_fails_the_run_with_its_exception_whatever_was_printed_last(tmp_path: Path, do: str, told: str) -> None:
    async def body(runs: RunManager) -> None:
        await runs.create("one", spec(do))
        run = await finished(runs, "one")
        assert run.record.state == "failed"
        assert f"status 1: {told} (see {tmp_path}/one/worker.log)" in run.record.error
        assert run_to_proto(run).error_code == grpc.StatusCode.INTERNAL.value[0]
        with pytest.raises(BakeoffError) as raised:
            raise_unless_succeeded(run_to_proto(run))
        assert type(raised.value) is BakeoffError

    drive(tmp_path, body)


@pytest.mark.parametrize(
    ("do", "told", "code"),
    [
        ("no room", "no room left in {folder}/checkpoints; make room", grpc.StatusCode.RESOURCE_EXHAUSTED),
        ("no right", "Permission denied: /data/photos; give this user", grpc.StatusCode.FAILED_PRECONDITION),
        (
            "no room at all",
            "nothing can be written in {folder}: no room, read-only or no right",
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        ),
    ],
)
def test_a_worker_without_room_says_so_and_goes_on_when_asked_again(
    tmp_path: Path, do: str, told: str, code: grpc.StatusCode
) -> None:
    async def body(runs: RunManager) -> None:
        await runs.create("one", spec(do))
        run = await finished(runs, "one")
        assert (run.record.state, run.record.attempts) == ("failed", 1)
        assert run.record.error.startswith(told.format(folder=tmp_path / "one"))
        assert run.record.error.endswith("a training goes on from its checkpoint")
        assert run_to_proto(run).error_code == code.value[0]

    drive(tmp_path, body)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 128 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes what is left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(512))
    return filler


def test_a_full_disk_is_named_to_whoever_asks_and_the_run_goes_on_when_there_is_room(small_disk: Path) -> None:
    async def body(runs: RunManager) -> None:
        await runs.create("one", spec("sleep"))
        await until((small_disk / "one" / "attempts").exists)
        filler = fill(small_disk)
        with pytest.raises(ExhaustedError, match=f"no room left in {small_disk}.*; make room"):
            await runs.create("two", spec("work"))
        (small_disk / "one" / "go").touch()
        run = await finished(runs, "one")
        assert run.record.state == "failed"
        assert "nothing can be written" in run.record.error
        assert "running" in (small_disk / "one" / "run.json").read_text()
        filler.unlink()
        await runs.create("one", spec("sleep"))
        run = await finished(runs, "one")
        assert (run.record.state, run.record.attempts) == ("succeeded", 2)

    drive(small_disk, body)


@pytest.mark.parametrize(
    ("do", "told"),
    [
        ("SIGSEGV", r"killed by SIGSEGV; 3 attempts without progress; its last line: .* \(see {folder}/worker.log\)"),
        ("SIGKILL", r"lost .*; give it more memory, or smaller batches; .* \(see {folder}/worker.log\)"),
    ],
)
def test_a_worker_ended_by_a_signal_names_it_and_where_to_look(tmp_path: Path, do: str, told: str) -> None:
    async def body(runs: RunManager) -> None:
        await runs.create("one", spec(do))
        run = await finished(runs, "one")
        assert (run.record.state, run.record.attempts) == ("failed", 3)
        assert re.fullmatch(told.format(folder=tmp_path / "one"), run.record.error)

    drive(tmp_path, body)


def test_a_killed_worker_is_started_again(tmp_path: Path) -> None:
    async def body(runs: RunManager) -> None:
        await runs.create("one", spec("die once"))
        run = await finished(runs, "one")
        assert (run.record.state, run.record.attempts) == ("succeeded", 2)
        assert run_to_proto(run).error_code == 0

    drive(tmp_path, body)


def test_a_failure_of_an_earlier_version_has_no_code(tmp_path: Path) -> None:
    async def body(runs: RunManager) -> None:
        await runs.create("one", spec("fail"))
        run = await finished(runs, "one")
        old = json.loads((run.folder / RECORD).read_text())
        del old["error_kind"]
        files.write_text(run.folder / RECORD, json.dumps(old))
        read = RunRecord.read(run.folder)
        assert (read.record.state, run_to_proto(read).error_code) == ("failed", 0)

    drive(tmp_path, body)


def test_a_reason_that_is_no_document_is_told_as_it_is(tmp_path: Path) -> None:
    run = RunRecord.create(tmp_path / "one", "test", "{}")
    (run.folder / ERROR).write_text("half a rea")
    assert run.told_error() == Failure(text="half a rea")


def test_three_attempts_without_progress_are_a_failure_that_says_lost(tmp_path: Path) -> None:
    async def body(runs: RunManager) -> None:
        await runs.create("one", spec("die always"))
        run = await finished(runs, "one")
        assert (run.record.state, run.record.attempts) == ("failed", 3)
        assert "lost (memory, eviction, node); 3 attempts without progress" in run.record.error

    drive(tmp_path, body)


def test_attempts_that_make_progress_are_not_counted_against_a_run(tmp_path: Path) -> None:
    async def body(runs: RunManager) -> None:
        await runs.create("one", spec("die with progress"))
        run = await finished(runs, "one")
        assert (run.record.state, run.record.attempts) == ("succeeded", 6)

    drive(tmp_path, body)


def test_a_run_that_ran_out_of_memory_says_so_and_names_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = itertools.count()
    monkeypatch.setattr(memory, "oom_kills", lambda: next(kills))
    monkeypatch.setattr(memory, "limit_bytes", lambda: 600 << 20)

    async def body(runs: RunManager) -> None:
        await runs.create("one", spec("die always"))
        run = await finished(runs, "one")
        assert run.record.error.startswith("out of memory: the limit here is 600 MiB; 3 attempts without progress")
        assert run_to_proto(run).error_code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]

    drive(tmp_path, body)


@pytest.mark.parametrize("do", ["sleep", "ignore signals"])
def test_cancel_ends_the_worker_within_two_seconds(tmp_path: Path, do: str) -> None:
    async def body(runs: RunManager) -> None:
        await runs.create("one", spec(do))
        await until(lambda: (tmp_path / "one" / "attempts").exists())
        (tmp_path / "one" / "work" / "rows").mkdir(parents=True)
        start = time.monotonic()
        run = await runs.cancel("one")
        assert time.monotonic() - start < 2.0
        assert run.record.state == "cancelled"
        assert (await runs.cancel("one")).record.state == "cancelled"
        assert not (tmp_path / "one" / "work").exists()

    drive(tmp_path, body)
    assert not processes_of(tmp_path)


@pytest.mark.parametrize("how", ["cancelled", "killed", "stopped", "started again"])
def test_what_a_killed_worker_left_is_removed(tmp_path: Path, how: str) -> None:
    async def body(runs: RunManager) -> None:
        await runs.create("one", spec("leave something"))
        await until((tmp_path / "left").exists)
        if how == "cancelled":
            await runs.cancel("one")
            assert not (tmp_path / "left").exists()
        if how == "killed":
            (tmp_path / "one" / "spec.json").write_text(spec("work"))
            os.kill(int((tmp_path / "one" / "pid").read_text()), signal.SIGKILL)
            assert (await finished(runs, "one")).record.state == "succeeded"

    if how == "started again":
        (tmp_path / "left").touch()

        async def nothing(runs: RunManager) -> None:
            return

        drive(tmp_path, nothing)
    else:
        drive(tmp_path, body)
    assert not (tmp_path / "left").exists()


def test_a_cancel_whose_caller_leaves_goes_on_and_frees_the_slot(tmp_path: Path) -> None:
    async def body(runs: RunManager) -> None:
        await runs.create("one", spec("ignore signals"))
        await until(lambda: (tmp_path / "one" / "attempts").exists())
        cancelling = asyncio.create_task(runs.cancel("one"))
        await asyncio.sleep(0.1)
        cancelling.cancel()
        assert (await finished(runs, "one")).record.state == "cancelled"
        await runs.create("two", spec("work"))
        assert (await finished(runs, "two")).record.state == "succeeded"

    drive(tmp_path, body)


def test_a_full_disk_for_a_moment_loses_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, left = files.write_json, [2]

    def full(path: Path, model: pydantic.BaseModel) -> None:
        if path.name == "run.json" and "succeeded" in model.model_dump_json() and left[0]:
            left[0] -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, model)

    async def body(runs: RunManager) -> None:
        monkeypatch.setattr(files, "write_json", full)
        for name in ("one", "two"):
            await runs.create(name, spec("work"))
        for name in ("one", "two"):
            assert (await finished(runs, name)).record.state == "succeeded"

    drive(tmp_path, body)
    assert left == [0]
    assert RunRecord.read(tmp_path / "one").record.state == "succeeded"


@pytest.mark.parametrize("content", [b"", b'{"id": "one"', b"\xff\xfe", b"[]"])
def test_a_record_that_cannot_be_read_keeps_no_other_run_from_going_on(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("one", "two"):
        RunRecord.create(tmp_path / name, "test", spec("work"))
    (tmp_path / "one" / "run.json").write_bytes(content)

    async def body(runs: RunManager) -> None:
        assert (await finished(runs, "two")).record.state == "succeeded"
        assert [run.record.id for run in runs.list()] == ["two"]
        with pytest.raises(
            WrongStateError, match=f"{tmp_path}/one/run.json .*; mend it .* or move {tmp_path}/one away"
        ):
            await runs.create("one", spec("work"))
        assert (tmp_path / "one" / "run.json").read_bytes() == content
        (tmp_path / "one").rename(tmp_path / ".kept")
        await runs.create("one", spec("work"))
        assert (await finished(runs, "one")).record.state == "succeeded"
        assert (await runs.create("one", spec("work"))).record.state == "succeeded"

    drive(tmp_path, body)
    assert f"a run is left out: {tmp_path}/one/run.json is not valid" in caplog.text


def test_two_services_never_work_on_the_same_folder(tmp_path: Path) -> None:
    async def body(runs: RunManager) -> None:
        with pytest.raises(WrongStateError, match="in use by another service"):
            await manager(tmp_path).start()

    drive(tmp_path, body)


def test_losses_together_with_the_service_count_as_attempts(tmp_path: Path) -> None:
    asyncio.run(lose_services(tmp_path, times=3))

    async def body(runs: RunManager) -> None:
        run = await finished(runs, "one")
        assert run.record.state == "failed"
        assert run.record.error == "lost with the service; 3 attempts without progress"

    drive(tmp_path, body)


async def lose_services(root: Path, times: int) -> None:
    """Starts a service, waits for its worker, and leaves the record as a SIGKILL of both would."""
    attempts = root / "one" / "attempts"
    for number in range(1, times + 1):
        runs = manager(root)
        await runs.start()
        if number == 1:
            await runs.create("one", spec("sleep"))
        await until(lambda n=number: attempts.exists() and attempts.read_text() == str(n))  # type: ignore[misc]
        record = (root / "one" / "run.json").read_bytes()
        await runs.stop()
        (root / "one" / "run.json").write_bytes(record)


def test_a_result_that_left_the_store_is_made_again(tmp_path: Path) -> None:
    async def body() -> None:
        runs = manager(tmp_path, done=lambda run_id: False)
        await runs.start()
        try:
            await runs.create("one", spec("work"))
            await finished(runs, "one")
            await runs.create("one", spec("work"))
            assert (await finished(runs, "one")).record.attempts == 2
        finally:
            await runs.stop()

    asyncio.run(body())


def test_a_cancelled_run_can_be_asked_for_again(tmp_path: Path) -> None:
    async def body(runs: RunManager) -> None:
        await runs.create("one", spec("sleep"))
        await until(lambda: (tmp_path / "one" / "attempts").exists())
        await runs.cancel("one")
        (tmp_path / "one" / "go").touch()
        await runs.create("one", spec("sleep"))
        assert (await finished(runs, "one")).record.state == "succeeded"

    drive(tmp_path, body)


def test_more_runs_than_slots_wait_their_turn(tmp_path: Path) -> None:
    async def body(runs: RunManager) -> None:
        for name in ("one", "two"):
            await runs.create(name, spec("sleep"))
        await until(lambda: (tmp_path / "one" / "attempts").exists())
        assert runs.get("two").record.state == "queued"
        cancelled = await runs.cancel("two")
        assert (cancelled.record.state, cancelled.record.attempts) == ("cancelled", 0)
        (tmp_path / "one" / "go").touch()
        assert (await finished(runs, "one")).record.state == "succeeded"

    drive(tmp_path, body)


def test_a_service_that_restarts_resumes_what_was_not_finished(tmp_path: Path) -> None:
    async def begin(runs: RunManager) -> None:
        await runs.create("one", spec("sleep"))
        await until(lambda: (tmp_path / "one" / "attempts").exists())

    async def resume(runs: RunManager) -> None:
        (tmp_path / "one" / "go").touch()
        run = await finished(runs, "one")
        assert (run.record.state, run.record.attempts) == ("succeeded", 2)
        assert [run.record.id for run in runs.list()] == ["one"]

    drive(tmp_path, begin)
    assert not processes_of(tmp_path), "a worker outlived its service"
    drive(tmp_path, resume)


@pytest.fixture
def slow(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> Slow:
    slow = Slow(executor)
    monkeypatch.setitem(EXECUTORS, "chosen", slow)
    return slow


def test_a_run_cancelled_while_its_worker_starts_leaves_no_worker_and_no_slot_taken(tmp_path: Path, slow: Slow) -> None:
    async def body(runs: RunManager) -> None:
        await runs.create("one", spec("sleep"))
        await until(slow.begun.is_set)
        assert (await runs.cancel("one")).record.state == "cancelled"
        assert (await runs.create("one", spec("sleep"))).record.state == "queued"
        assert (await runs.cancel("one")).record.state == "cancelled"
        await runs.create("two", spec("work"))
        slow.go.set()
        assert (await finished(runs, "two")).record.state == "succeeded"
        assert runs.get("one").record.state == "cancelled"
        assert not processes_of(tmp_path / "one")

    drive(tmp_path, body)


def test_a_run_cancelled_while_its_worker_starts_and_asked_for_again_works_once(tmp_path: Path, slow: Slow) -> None:
    async def body(runs: RunManager) -> None:
        await runs.create("one", spec("work"))
        await until(slow.begun.is_set)
        await runs.cancel("one")
        await runs.create("one", spec("work"))
        slow.go.set()
        run = await finished(runs, "one")
        assert (run.record.state, run.record.attempts) == ("succeeded", 2)
        await until(lambda: not processes_of(tmp_path / "one"))
        states = [
            event["state_change"]["state"] for _, event in EventReader(run.folder, 0).new() if "state_change" in event
        ]
        assert states == ["queued", "running", "cancelled", "queued", "running", "succeeded"]

    drive(tmp_path, body)


def test_a_run_that_breaks_the_work_loop_keeps_no_other_from_going_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conclude = RunManager._conclude
    broken = []

    def once(self: RunManager, run: RunRecord, status: int) -> None:
        if not broken:
            broken.append(run.record.id)
            raise KeyError("a bug")
        conclude(self, run, status)

    monkeypatch.setattr(RunManager, "_conclude", once)

    async def body(runs: RunManager) -> None:
        await runs.create("one", spec("work"))
        assert (await finished(runs, "one")).record.state == "succeeded"
        await runs.create("two", spec("work"))
        assert (await finished(runs, "two")).record.state == "succeeded"
        assert broken == ["one"]

    drive(tmp_path, body)


def test_a_service_that_stops_while_a_worker_starts_takes_the_run_up_again(tmp_path: Path, slow: Slow) -> None:
    async def begin(runs: RunManager) -> None:
        await runs.create("one", spec("work"))
        await until(slow.begun.is_set)
        asyncio.get_running_loop().call_later(0.2, slow.go.set)

    async def resume(runs: RunManager) -> None:
        assert (await finished(runs, "one")).record.state == "succeeded"
        assert runs.get("one").record.idle_attempts == 0

    drive(tmp_path, begin)
    assert not processes_of(tmp_path), "a worker outlived its service"
    drive(tmp_path, resume)


def test_a_line_a_killed_worker_left_unfinished_is_no_event(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text('{"a": 1}\n{"b": ')
    assert EventReader(tmp_path, 0).new() == [(1, {"a": 1})]
    drop_torn_event(tmp_path)
    assert (tmp_path / "events.jsonl").read_text() == '{"a": 1}\n'
