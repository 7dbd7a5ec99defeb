"""Frameworks compared over seeds, and where their time went, as text for HTML and Markdown."""

from collections.abc import Sequence

from core.schemas.statistics import FrameworkTest
from core.schemas.summary import Summary, Training
from evaluator import text
from evaluator.attribution import planned
from evaluator.groups import by_framework
from evaluator.report.tables import Table
from evaluator.statistics import UNDECIDED, outcome, ranked


def framework_tests(summary: Summary) -> Table:
    """Every pair of frameworks of every arm."""
    headers = ("First", "Second", "Arm", "Finding", "Seeds", "Difference", "95% interval", "p, corrected")
    rows = tuple(_cells(one) for one in summary.framework_tests)
    apart = ", those that the attribution adds apart" if planned(summary.spec_json) else ""
    caption = (
        "Frameworks over seeds: mean paired difference of test accuracy, Student’s interval, paired t test corrected "
        f"by Holm for all of these{apart}"
    )
    return Table(caption, headers, rows, names=4)


def _cells(one: FrameworkTest) -> tuple[str, ...]:
    test = one.test
    return (
        text.framework(one.first),
        text.framework(one.second),
        one.arm,
        finding(one),
        str(test.seeds),
        f"{text.bare_points(test.mean)} points",
        text.bare_range(test.interval),
        text.MISSING if test.p_adjusted is None else text.p_value(test.p_adjusted),
    )


BARE_LINES: dict[str, int] = {"keras": 21, "tensorflow": 52, "pytorch": 31, "fastai": 31}
"""Lines of code, without blanks, comments and docstrings, of the bare training loops that ours are measured against
(docs/training-speed.md). Counted, not judged; a test counts them again."""
DATA_PHASE, START_PHASE = "data", "start"


def finding(one: FrameworkTest) -> str:
    """What may be said about two frameworks."""
    found = outcome(one.test)
    if found == "few seeds":
        return "one seed: nothing can be said" if one.test.seeds == 1 else "two seeds cannot tell"
    if found == "no spread":
        return "the same difference in every seed: cannot be tested"
    if found == "no difference":
        return UNDECIDED[found]
    return f"{text.framework(ranked(one)[0])} is more accurate"


STEPS = {
    "prepare": "preparing",
    "train": "training",
    "quantize": "quantising",
    "evaluate": "scoring",
    "evaluate-served": "scoring",
    "loadtest": "load tests",
}
"""Kinds of steps as they are told."""


def effort(summary: Summary) -> str:
    """What all steps took, one after another; in a summary of an earlier version, what is known of them.

    Empty for a search, of whose trials only the best one's cost is known here.
    """
    if summary.search or not summary.trainings:
        return ""
    if not summary.step_seconds:
        prepared = summary.data.seconds or 0.0 if summary.data else 0.0
        known = prepared + sum(sum(training.seconds.values()) for training in summary.trainings)
        return f"Preparing and training took {text.seconds(known)}; what other steps took was not recorded."
    parts = [f"{STEPS[kind]} {text.seconds(took)}" for kind, took in summary.step_seconds.items() if took]
    total = text.seconds(sum(summary.step_seconds.values()))
    return f"All steps one after another took {total}: {text.names(parts)}."


def time_note(summary: Summary) -> str:
    """What the phases are, and what is in none of them."""
    seconds = summary.data.seconds if summary.data else None
    took = "" if seconds is None else f" ({text.seconds(seconds)})"
    start = (
        "Start is importing the framework, where a training does that itself. "
        if _starts(summary)
        else "The services had imported the frameworks before; no training paid for that. "
        if any(START_PHASE in training.seconds for training in summary.trainings)
        else ""
    )
    return (
        f"{start}Open is opening the data, wait is for batches in training. A dash there: not measured, and part of "
        "train; earlier versions measured none, or none of Keras. Preparing the images "
        f"once for all trainings{took} is in nobody's share: matched arms train on what came out of it, idiomatic ones "
        f"decode and resize the originals themselves, in their own time.{_memory_note(summary)}"
    )


def _memory_note(summary: Summary) -> str:
    """What peak memory leaves out, where a row of the table leaves it out."""
    own = {arm.name for arm in summary.arms if arm.recipe.pipeline == "framework"}
    if not any(training.framework == "fastai" and training.arm in own for training in summary.trainings):
        return ""
    return (
        " Peak memory is that of the training's own process: what the processes take in which fastai's idiomatic "
        "loader decodes is not in it."
    )


def time_shares(summary: Summary) -> Table:
    """Share of wall time by phase, images a second and peak memory of each framework's trainings, means over seeds.

    Opening the data and waiting for batches, one phase of a training, are apart here; a dash for waiting that was not
    measured.
    """
    phases = phases_of(summary)
    named = ("Framework", "Arm", "Seeds")
    headers = (*named, *wall_time(summary.trainings, phases), "Images/s", "Peak memory", "Bare loop")
    rows = []
    for (arm, framework), members in by_framework(summary.trainings).items():
        total = sum(sum(training.seconds.values()) for training in members)
        spent = wall_time(members, phases).values()
        speed = text.significant(sum(training.images_per_second for training in members) / len(members))
        note = " (contended)" if any(training.contended for training in members) else ""
        shares = [text.MISSING if part is None or not total else text.percent(part / total, 1) for part in spent]
        memory = text.size(max(training.peak_memory_bytes for training in members))
        lines = f"{BARE_LINES[framework]} lines"
        rows.append((text.framework(framework), arm, str(len(members)), *shares, speed + note, memory, lines))
    return Table("Share of wall time by phase, and speed", headers, tuple(rows), names=2)


def phases_of(summary: Summary) -> list[str]:
    """The phases of its trainings, without importing the framework where none of them did that."""
    found = dict.fromkeys(phase for training in summary.trainings for phase in training.seconds)
    return [phase for phase in found if phase != START_PHASE or _starts(summary)]


def _starts(summary: Summary) -> bool:
    """Whether any training spent a thousandth of its time on importing the framework; forks find it imported."""
    times = [training.seconds for training in summary.trainings]
    return any(seconds.get(START_PHASE, 0.0) > 0.001 * sum(seconds.values()) for seconds in times)


def wall_time(trainings: Sequence[Training], phases: Sequence[str]) -> dict[str, float | None]:
    """Title of a phase to its seconds in all of the trainings together; of the data two: opening it, waiting for it.

    None for waiting that was not measured, which is part of training then.
    """
    spent: dict[str, float | None] = {}
    for phase in phases:
        whole = sum(training.seconds.get(phase, 0.0) for training in trainings)
        if phase == DATA_PHASE:
            waits = [epoch.data_seconds for training in trainings for epoch in training.history]
            measured = [seconds for seconds in waits if seconds is not None]
            spent["Open"] = whole - sum(measured)
            spent["Wait"] = sum(measured) if len(measured) == len(waits) else None
        else:
            spent[phase.capitalize()] = whole
    return spent
