"""The bars of wall time, on made-up times: TEST DATA, no figure here was measured."""

from xml.etree import ElementTree

import pytest

from core.schemas.summary import Summary
from evaluator.studies.chapter import Chapter
from evaluator.studies.page import page
from evaluator.studies.svg import BAR
from evaluator.studies.wall_time import AXIS, COLOURS, HIDDEN_WAIT, bars
from tests.unit.evaluator.claims.test_judge import SAME, study, summary

SECONDS = {"start": 0.0, "data": 30.0, "build": 1.0, "train": 60.0, "validate": 8.0, "export": 1.0}
SVG = "{http://www.w3.org/2000/svg}"


def timed(waiting: float | None, contended: bool = False) -> Summary:
    """Trainings of 100 seconds that waited in each of their epochs; arms with what has to be escaped in their names."""
    whole = summary(study(), SAME)
    trainings = []
    for one in whole.trainings:
        history = [epoch.model_copy(update={"data_seconds": waiting}) for epoch in one.history]
        changes: dict[str, object] = {
            "contended": contended,
            "seconds": SECONDS,
            "history": tuple(history),
            "arm": f"<{one.arm}>",
        }
        trainings.append(one.model_copy(update=changes))
    return whole.model_copy(update={"trainings": tuple(trainings)})


def drawn(picture: str) -> dict[str, list[tuple[float, float]]]:
    """Colour of a bar's parts to their ends, as shares."""
    whole = AXIS.x(1.0) - AXIS.x(0.0)
    found: dict[str, list[tuple[float, float]]] = {}
    for rect in ElementTree.fromstring(picture).findall(f"{SVG}rect"):
        if rect.get("height") == str(BAR):
            left, width = float(rect.get("x", 0)) - AXIS.x(0.0), float(rect.get("width", 0))
            found.setdefault(rect.get("fill", ""), []).append((left / whole, (left + width) / whole))
    return found


def test_parts_follow_each_other_to_the_end_in_the_order_of_the_phases() -> None:
    one = timed(waiting=5.0)
    found = drawn(bars(one))
    groups = {(training.arm, training.framework) for training in one.trainings}
    expected = {"Open": (0, 0.1), "Wait": (0.1, 0.3), "Build": (0.3, 0.31), "Train": (0.31, 0.91)}
    expected |= {"Validate": (0.91, 0.99), "Export": (0.99, 1)}
    assert list(found) == [COLOURS[phase] for phase in expected], "nothing is drawn of a phase that took no time"
    for phase, (low, high) in expected.items():
        assert len(found[COLOURS[phase]]) == len(groups)
        for ends in found[COLOURS[phase]]:
            assert ends == pytest.approx((low, high), abs=0.001)


def test_training_that_hides_its_waiting_says_so() -> None:
    hidden, shown = bars(timed(waiting=None)), bars(timed(waiting=5.0))
    assert f">60%{HIDDEN_WAIT}<" in hidden
    assert HIDDEN_WAIT not in shown
    assert COLOURS["Wait"] not in drawn(hidden)
    assert drawn(hidden)[COLOURS["Open"]][0] == pytest.approx((0, 0.3), abs=0.001)


def test_a_bar_says_what_a_training_took_and_a_chapter_shows_the_picture() -> None:
    of, one = study(), timed(waiting=5.0)
    assert ">1 min 40 s</text>" in bars(one)
    assert "&lt;matched&gt;" in bars(one)
    assert "contended" not in bars(one)
    assert "grey: contended</text>" in bars(timed(waiting=5.0, contended=True))
    assert "](images/study-test-time.svg)" in page([Chapter("test", one, of, ())])
