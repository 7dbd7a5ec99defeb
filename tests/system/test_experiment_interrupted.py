"""Experiments that are interrupted in every step, and what is left of them."""

import os
import shlex
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.schemas.course import COURSES
from core.schemas.summary import Summary
from services.ui.experiments import course_of
from tests.system.bakeoff_command import Bakeoff
from tests.system.containers import wait_for

pytestmark = pytest.mark.system

FOLDER = """\
name: interrupted
title: Interrupted in every step
data:
  source: {kind: folder, path: none}
  image: {height: 16, width: 16, color: grey}
  split: {policy: stratified}
arms: {matched: {architecture: digits-cnn, recipe: {epochs: 12}}}
frameworks: [pytorch]
formats: {pytorch: [onnx]}
loadtest: {users: 1, duration_s: 2}
"""


RARE = """\
name: rare
title: A class that no test image is of
data:
  source: {kind: folder, path: none}
  image: {height: 8, width: 8, color: grey}
arms: {matched: {architecture: digits-cnn, recipe: {epochs: 2}}}
frameworks: [keras]
formats: {keras: [onnx]}
seeds: [0]
loadtest: null
"""


IN_THE_MIDDLE = {
    "starting": "logs/*.log",
    "preparing": "runs/*/prepare-*/work/*/output/*.npy",
    "training": "runs/*/train-*/checkpoints/checkpoint.npz",
    "exporting": "models/.staging.*",
    "scoring": "runs/evaluator/evaluate-*/events.jsonl",
    "load-testing": "loadtests/*/spec.json",
    "reporting": "runs/evaluator/report-*/events.jsonl",
}
"""Step of an experiment to files that are there while it works."""


def test_ctrl_c_in_any_step_leaves_nothing_half_written_and_the_next_run_goes_on(
    tmp_path: Path,
) -> None:
    bakeoff, file = Bakeoff(tmp_path / "home"), tmp_path / "interrupted.yaml"
    file.write_text(FOLDER)
    arguments = ("run", str(file), "--data", str(write_images(tmp_path / "images")))
    for step, begun in IN_THE_MIDDLE.items():
        process = bakeoff.start(*arguments)
        wait_for(lambda begun=begun: list(bakeoff.home.glob(begun)), f"{step} to begin")  # type: ignore[misc]
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=30)
        assert process.returncode == 130, (step, output)
        assert bakeoff.processes() == [], step
        assert [str(path) for path in half_written(bakeoff.home)] == [], step
        assert course_of(bakeoff.home / COURSES, "interrupted")["state"] == "interrupted", step
    again = bakeoff.run(*arguments)
    assert again.code == 0, again.err
    assert bakeoff.processes() == []
    assert half_written(bakeoff.home) == []
    assert course_of(bakeoff.home / COURSES, "interrupted")["state"] == "done"
    asked_again = Counter[str]()
    for path in bakeoff.home.glob("runs/*/*/events.jsonl"):
        asked_again[path.parent.name.partition("-")[0]] += path.read_text().count("asked again")
    # A report is written in a moment: the interruption may come too late for it.
    assert asked_again.pop("report") in (0, 1)
    assert asked_again == {"prepare": 1, "train": 2, "evaluate": 1}


def test_a_class_without_test_images_is_trained_and_the_report_says_it_is_not_measured(tmp_path: Path) -> None:
    """Killed in the middle on the way: the index must not call it running for ever."""
    bakeoff, file = Bakeoff(tmp_path / "home"), tmp_path / "rare.yaml"
    file.write_text(RARE)
    # Nor a validation image of it: three of "rare" are all there is, in folders as people have them.
    for split, name, count in (
        *(("train", "a", 24), ("train", "b", 24), ("train", "rare", 3), ("valid", "a", 4), ("valid", "b", 4)),
        *(("valid", "rare", 0), ("test", "a", 6), ("test", "b", 6), ("test", "rare", 0)),
    ):
        write_noise(tmp_path / "images" / split / name, count)
    arguments = ("run", str(file), "--data", str(tmp_path / "images"))
    process = bakeoff.start(*arguments)
    courses = bakeoff.home / COURSES
    wait_for(lambda: course_of(courses, "rare").get("now"), "a step to begin")
    assert course_of(courses, "rare")["state"] == "running"
    process.kill()
    process.communicate(timeout=30)
    found = course_of(courses, "rare")
    assert (found["state"], found["command"]) == ("unfinished", shlex.join(["bakeoff", *arguments]))

    ended = bakeoff.run(*arguments)
    down = bakeoff.run("down")  # Of the services that the killed command left.
    assert (ended.code, down.code) == (0, 0), ended.err
    assert "incomplete: test images of class 'rare': there are none" in ended.err
    folder = bakeoff.home / "reports/rare"
    summary = Summary.model_validate_json((folder / "summary.json").read_bytes())
    (line,) = summary.missing
    assert "macro averages are over the other 2 of 3 classes" in line
    assert [note for note in summary.notes if "no validation image of class 'rare'" in note]
    (row,) = summary.rows
    assert [(one.name, one.support) for one in row.classes] == [("a", 6), ("b", 6), ("rare", 0)]
    assert row.classes[2].recall is None
    assert "no test images" in (folder / "report.html").read_text()
    (card,) = (folder / "cards").iterdir()
    assert "No test image of class 'rare'" in card.read_text()
    assert course_of(courses, "rare")["state"] == "done"
    assert bakeoff.processes() == []


def write_noise(folder: Path, count: int) -> None:
    """A folder of so many images, or an empty one."""
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


def write_images(folder: Path) -> Path:
    """Three classes of noise, large enough that decoding takes seconds."""
    draw = np.random.default_rng(0)
    for number in range(1200):
        path = folder / "abc"[number % 3] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 256, (48, 64), np.uint8)
        Image.fromarray(pixels).resize((640, 480)).save(path)
    return folder


def half_written(home: Path) -> list[Path]:
    """Hidden entries where only whole things belong."""
    places = [home / "models", home / "store", home / "reports"]
    return [path for place in places for path in place.rglob(".*")]
