"""Where the time of the trainings went, as bars of equal length: S4's pies. Plain SVG."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from core.schemas.summary import Summary, Training
from evaluator import text
from evaluator.claims.arms import short_arm
from evaluator.groups import by_framework
from evaluator.report.seed_tables import phases_of, wall_time
from evaluator.studies.svg import BAR, LEFT, MUTED, TEXT, Axis, height_of, label, middle, picture

COLOURS = {
    "Start": "#c3cad5",
    "Open": "#8d97a7",
    "Wait": "#c2265a",
    "Build": "#4b5568",
    "Train": "#3b4fd8",
    "Validate": "#8f9bf0",
    "Export": "#9a6fd0",
}
"""By phase; waiting stands out."""
ON_LIGHT = ("Start", "Validate")
"""Phases whose colour wants dark figures."""
TOTAL = 62
"""Room for the seconds beside a bar."""
HIDDEN_WAIT = " with waiting"
"""Of training whose waiting was not measured apart."""
LEAST = 0.06
"""Share of a bar in which a figure has room."""
AXIS = Axis(0.0, 1.0, room=TOTAL)


def bars(summary: Summary) -> str:
    """SVG text with a bar for each framework of an arm, all seeds together; equal inputs give equal bytes."""
    groups, phases = list(by_framework(summary.trainings).items()), phases_of(summary)
    rows = [
        part
        for number, ((arm, framework), members) in enumerate(groups)
        for part in _row(
            f"{text.framework(framework)} · {short_arm(arm, summary)}", number, members, wall_time(members, phases)
        )
    ]
    title = f"Share of wall time by phase, {summary.title}"
    contended = any(training.contended for training in summary.trainings)
    legend = _legend(height_of(len(groups)), wall_time((), phases), contended)
    return picture(title, len(groups), [*rows, *legend])


def _row(name: str, number: int, members: Sequence[Training], shown: Mapping[str, float | None]) -> Iterator[str]:
    y, base = middle(number), 0.0
    spent = {phase: seconds for phase, seconds in shown.items() if seconds}
    total = sum(spent.values())
    yield label(name, number)
    for phase, seconds in spent.items():
        share = seconds / total
        left, right = AXIS.x(base), AXIS.x(base + share)
        base += share
        words = f"{phase}: {text.percent(share, 1)}, {text.seconds(seconds / len(members))} a training"
        place = f'x="{left:.1f}" y="{y - BAR / 2:g}" width="{right - left:.1f}" height="{BAR}"'
        yield f'<rect {place} fill="{COLOURS[phase]}" stroke="#ffffff" stroke-width="0.8"><title>{words}</title></rect>'
        if share >= LEAST:
            figure = text.percent(share, 0) + HIDDEN_WAIT * (phase == "Train" and shown.get("Wait", 0.0) is None)
            colour = TEXT if phase in ON_LIGHT else "#ffffff"
            yield (
                f'<text x="{(left + right) / 2:.1f}" y="{y + 4:g}" text-anchor="middle" font-size="11" fill="{colour}" '
                f'pointer-events="none">{figure}</text>'
            )
    colour = MUTED if any(training.contended for training in members) else TEXT
    yield f'<text x="{AXIS.x(1.0) + 8:.1f}" y="{y + 4:g}" fill="{colour}">{text.seconds(total / len(members))}</text>'


def _legend(height: int, phases: Iterable[str], contended: bool) -> Iterator[str]:
    y = height - 10
    for number, phase in enumerate(phases):
        x = LEFT + 54 + 74 * number
        yield f'<rect x="{x}" y="{y - 10}" width="11" height="11" fill="{COLOURS[phase]}"/>'
        yield f'<text x="{x + 16}" y="{y}" font-size="12" fill="{MUTED}">{phase}</text>'
    words = "at the right: mean of a training" + "; grey: contended" * contended
    yield f'<text x="16" y="{y}" font-size="12" fill="{MUTED}">{words}</text>'
