"""What is kept of an experiment while it runs and when it ends."""

import threading
from pathlib import Path

import pytest

from core import files
from core.errors import CancelledError, InvalidInputError
from core.schemas.base import parse_json
from core.schemas.course import Course, course_path, lock_path
from services.orchestrator import logbook as module
from services.orchestrator.logbook import Logbook, Together
from services.orchestrator.steps import Step, prepare_step
from tests.unit.services.courses import experiment
from tests.unit.services.orchestrator.test_reconciler import Silent

COMMAND = ["bakeoff", "run", "my file.yaml", "--set", "seeds=[0]"]


def step(source: str = "d") -> Step:
    return prepare_step(experiment().data, source, "keras")


def book(folder: Path, name: str = "digits", *overrides: str) -> Logbook:
    return Logbook(folder, experiment(name, *overrides), COMMAND)


def read(folder: Path, name: str = "digits") -> Course:
    path = course_path(folder, name)
    return parse_json(Course, path.read_bytes(), str(path))


def test_it_holds_the_lock_while_it_is_open_and_says_what_goes_on(tmp_path: Path) -> None:
    with book(tmp_path):
        assert files.locked(lock_path(tmp_path, "digits"))
        course = read(tmp_path)
        assert course.outcome is None
        assert course.command == "bakeoff run 'my file.yaml' --set 'seeds=[0]'"
        assert course.directory == str(Path.cwd())
    assert not files.locked(lock_path(tmp_path, "digits"))
    assert read(tmp_path).outcome == "done"


def test_steps_are_counted_and_the_one_in_work_is_shown(tmp_path: Path) -> None:
    with book(tmp_path) as log:
        log.plan({"prepare": 1, "keras": 2})
        log.progress(step(), "prepare", 3, 12, {})
        (now,) = read(tmp_path).now
        assert (now.label, now.phase, now.done, now.total) == ("prepare data", "prepare", 3, 12)
        log.finished(step(), "done", "")
        course = read(tmp_path)
    assert course.now == ()
    assert [(one.group, one.done, one.total) for one in course.steps] == [("prepare", 1, 1), ("keras", 0, 2)]


def test_progress_is_written_now_and_then_and_beginnings_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EVERY_S", 600.0)
    with book(tmp_path) as log:
        for done in (1, 2, 3):
            log.progress(step(), "prepare", done, 12, {})
        log.progress(step("other"), "prepare", 5, 12, {})
        assert [one.done for one in read(tmp_path).now] == [3, 5]
        log.progress(step("other"), "prepare", 6, 12, {})
        assert [one.done for one in read(tmp_path).now] == [3, 5]
        monkeypatch.setattr(module, "EVERY_S", 0.0)
        log.progress(step("other"), "prepare", 7, 12, {})
        assert [one.done for one in read(tmp_path).now] == [3, 7]


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (InvalidInputError("class 'x' is empty"), "failed", "class 'x' is empty"),
        (ValueError(), "failed", "ValueError"),
        (KeyboardInterrupt(), "interrupted", ""),
        (CancelledError("interrupted"), "interrupted", ""),
    ],
)
def test_the_way_it_ends_is_kept(tmp_path: Path, error: BaseException, outcome: str, reason: str) -> None:
    def work() -> None:
        with book(tmp_path) as log:
            log.progress(step(), "prepare", 3, 12, {})
            raise error

    with pytest.raises(type(error)):
        work()
    course = read(tmp_path)
    assert (course.outcome, course.reason, course.now) == (outcome, reason, ())


def test_failed_steps_are_named(tmp_path: Path) -> None:
    with book(tmp_path) as log:
        log.finished(step(), "failed", "out of memory")
    assert read(tmp_path).failed == ("prepare data: out of memory",)
    assert read(tmp_path).outcome == "done"


def test_a_second_command_on_the_same_experiment_writes_when_the_first_one_is_over(tmp_path: Path) -> None:
    with book(tmp_path) as second:
        with book(tmp_path) as first:  # It came later and holds nothing.
            first.finished(step(), "failed", "of no importance")
        assert read(tmp_path).outcome is None
        assert read(tmp_path).failed == ()
        second.finished(step(), "done", "")
    assert read(tmp_path).outcome == "done"
    third = book(tmp_path)
    with book(tmp_path):
        third.__enter__()
    third.finished(step(), "done", "")
    assert read(tmp_path).outcome is None
    third.__exit__(None, None, None)


def test_each_scale_has_its_own(tmp_path: Path) -> None:
    with book(tmp_path, "digits", "scale=small"):
        assert read(tmp_path, "digits-small").name == "digits-small"


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    files.write_text(tmp_path / "file", "")
    with book(tmp_path / "file") as log:
        log.plan({"prepare": 1})
        log.finished(step(), "done", "")


def test_many_threads_may_report(tmp_path: Path) -> None:
    with book(tmp_path) as log:
        threads = [threading.Thread(target=log.finished, args=(step(str(n)), "done", "")) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert read(tmp_path).steps[0].done == 8


def test_several_reporters_hear_the_same(tmp_path: Path) -> None:
    with book(tmp_path) as log:
        both = Together(log, Silent())
        both.plan({"prepare": 1})
        both.progress(step(), "prepare", 1, 2, {})
        both.log(step(), "warning", "text")
        both.finished(step(), "done", "")
    assert read(tmp_path).steps[0].done == 1
