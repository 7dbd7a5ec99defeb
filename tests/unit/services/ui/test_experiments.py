"""What the index knows of an experiment, and that nothing is called running but what is seen to run."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from core import files
from core.schemas.course import COURSES, course_path
from evaluator import report
from services.ui.experiments import Experiments, course_of
from tests.unit.evaluator.builder import Experiment
from tests.unit.services.courses import freeze_experiment, running, write_course


def found(home: Path) -> dict[str, dict[str, Any]]:
    """By name."""
    every = Experiments(home / "reports", home / COURSES, home / "store/experiments").all()
    return {one["name"]: one for one in every}


def write_report(home: Path, name: str, **changes: Any) -> None:
    one = Experiment(seeds=(0,), arms=("matched",), frameworks=("keras",), load_tests=False, **changes)
    report.write(one.spec, one.results, one.probabilities, one.test, (), home / "reports" / name)


def test_an_empty_home_has_no_experiments(tmp_path: Path) -> None:
    assert found(tmp_path) == {}
    assert Experiments(tmp_path / "reports", tmp_path / COURSES, None).all() == []


def test_an_experiment_whose_command_lives_is_running_with_its_steps(tmp_path: Path) -> None:
    write_course(tmp_path, "mnist")
    with running(tmp_path, "mnist"):
        one = found(tmp_path)["mnist"]
    assert one["state"] == "running"
    assert one["steps"] == [["prepare", 1, 1], ["keras", 1, 2], ["pytorch", 0, 2]]
    assert one["now"] == [{"label": "train matched keras s1", "phase": "train", "done": 3.0, "total": 12.0}]
    assert one["title"] == "The mnist experiment"


def test_a_command_that_was_killed_leaves_an_unfinished_experiment(tmp_path: Path) -> None:
    write_course(tmp_path, "mnist")
    with running(tmp_path, "mnist") as process:
        assert course_of(tmp_path / COURSES, "mnist")["state"] == "running"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        one = course_of(tmp_path / COURSES, "mnist")
    assert one["state"] == "unfinished"
    assert one["command"].startswith("bakeoff run experiments/mnist.yaml")


def test_a_command_on_another_machine_is_neither_running_nor_gone(tmp_path: Path) -> None:
    write_course(tmp_path, "mnist", host="elsewhere")
    assert (found(tmp_path)["mnist"]["state"], found(tmp_path)["mnist"]["host"]) == ("elsewhere", "elsewhere")
    with running(tmp_path, "mnist"):  # Another container on the same files: the lock is seen.
        assert found(tmp_path)["mnist"]["state"] == "running"


@pytest.mark.parametrize(("outcome", "reason"), [("failed", "no such folder"), ("interrupted", ""), ("done", "")])
def test_how_it_ended_is_what_the_command_said(tmp_path: Path, outcome: str, reason: str) -> None:
    write_course(tmp_path, "mnist", outcome=outcome, reason=reason, now=())
    with running(tmp_path, "mnist"):  # It wrote its last word and is about to end.
        one = found(tmp_path)["mnist"]
    assert (one["state"], one["reason"]) == (outcome, reason)


def test_a_report_and_the_course_of_a_later_run_are_one_experiment(tmp_path: Path) -> None:
    write_report(tmp_path, "digits")
    write_course(tmp_path, "digits", outcome="failed", reason="out of disk")
    (one,) = found(tmp_path).values()
    assert (one["report"], one["state"], one["reason"]) == (True, "failed", "out of disk")
    assert one["artefacts"] == 3


def test_an_experiment_that_left_nothing_but_its_file_is_listed(tmp_path: Path) -> None:
    freeze_experiment(tmp_path, "early")
    freeze_experiment(tmp_path, "reported")
    write_report(tmp_path, "reported")
    files.write_text(tmp_path / "store/experiments/other-0/experiment.json", '{"schema_version": 99}')
    by_name = found(tmp_path)
    assert set(by_name) == {"early", "reported"}
    assert by_name["early"]["state"] == "begun"
    assert "state" not in by_name["reported"]


def test_what_cannot_be_read_says_why_and_hides_nothing_else(tmp_path: Path) -> None:
    write_report(tmp_path, "digits")
    files.write_text(course_path(tmp_path / COURSES, "digits"), "{")
    files.write_text(tmp_path / "reports/later/summary.json", '{"schema_version": 99}')
    by_name = found(tmp_path)
    assert by_name["digits"]["report"]
    assert "digits.json" in by_name["digits"]["course_error"]
    assert "schema_version 99" in by_name["later"]["error"]


def test_those_that_run_come_first_then_the_newest(tmp_path: Path) -> None:
    for name, updated in (("old", 1.0), ("runs", 2.0), ("new", 3.0)):
        write_course(tmp_path, name, updated=updated, outcome=None if name == "runs" else "interrupted")
    with running(tmp_path, "runs"):
        assert list(found(tmp_path)) == ["runs", "new", "old"]


def test_a_report_is_read_again_when_it_changes(tmp_path: Path) -> None:
    write_report(tmp_path, "digits")
    index = Experiments(tmp_path / "reports", tmp_path / COURSES, None)
    assert index.all()[0]["missing"] == 0
    write_report(tmp_path, "digits", missing=("train fastai: lost",))
    assert index.all()[0]["missing"] == 1
