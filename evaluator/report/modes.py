"""Framework or defaults, as table and chart."""

from collections.abc import Callable, Sequence

import plotly.graph_objects as go

from core.schemas.statistics import DefaultsTest, SeedTest
from evaluator import text
from evaluator.modes import NO_DIFFERENCE, few
from evaluator.report.charts import Figure, as_json, color, label, table_heads
from evaluator.report.tables import Table
from evaluator.statistics import SEEDS_NEEDED, outcome

RULE = (
    "Arms of one network whose recipes differ in their mode alone. How far the defaults move a difference is tested by "
    "seed, over those that both modes were scored with: paired t tests, corrected by Holm for all rows; the difference "
    "in either mode is one of “Frameworks over seeds” and corrected there. Intervals are not corrected. Three "
    "numbers of seeds are those behind the three figures. What is left matched is the frameworks’ kernels and luck. "
    "All of it is of this experiment’s images and epochs."
)
BESIDE = 0.17
"""How far from the middle of its row a mode is drawn: intervals would hide each other."""
Side = tuple[str, str, float, Callable[[DefaultsTest], SeedTest | None]]
SIDES: tuple[Side, ...] = (
    ("idiomatic", "circle", -BESIDE, lambda row: row.own),
    ("matched", "diamond", BESIDE, lambda row: row.equal),
)
"""Name and colour, sign, place in the row, and difference."""


def table(rows: Sequence[DefaultsTest]) -> Table:
    """A row for each pair of frameworks and of arms."""
    several = _several(rows)
    figures = ("Seeds", "Own defaults", "Matched", "Moved by the defaults", "p, corrected")
    headers = ("Frameworks", *(("Arms",) if several else ()), "What may be said", *figures)
    caption = "Difference of test accuracy, first minus second framework, in points, with Student’s 95% interval"
    return Table(caption, headers, tuple(_cells(row, several) for row in rows), names=2 + several)


def sentence(rows: Sequence[DefaultsTest]) -> str:
    """How far apart frameworks are in either mode, and for how many pairs the defaults are shown to make that."""
    gaps = {
        words: [abs(test.mean) for row in rows if (test := of(row))]
        for words, (*_, of) in zip(("with their own defaults", "matched"), SIDES, strict=True)
    }
    parts = [f"{words} {_up_to(own)}" for words, own in gaps.items() if own]
    return f"Two frameworks’ mean accuracies differ {' and '.join(parts)}. {_moved(rows)}"


def _up_to(gaps: Sequence[float]) -> str:
    return f"by {'' if len(gaps) == 1 else 'up to '}{text.points(max(gaps))}"


def _moved(rows: Sequence[DefaultsTest]) -> str:
    tests = [row.moved for row in rows if row.moved]
    if not tests:
        return "No pair was scored in both modes, so nothing is said of the defaults."
    if all(outcome(test) == "few seeds" for test in tests):
        return f"{few(max(test.seeds for test in tests))}: no verdict on whether the defaults make it."
    if all(outcome(test) == "no spread" for test in tests):
        return "Whether the defaults make it cannot be tested: they move it alike in every seed."
    moved = [_named(row, rows) for row in rows if row.moved and outcome(row.moved) == "difference"]
    if not moved and not any(outcome(test) == "no difference" for test in tests):
        return "Whether the defaults make it cannot be tested: too few common seeds, or the same move in every seed."
    if not moved:
        return f"Whether the defaults make it: {NO_DIFFERENCE}, which is no proof that they do not."
    if len(rows) == 1:
        return f"The defaults move it by {text.points(abs(tests[0].mean))}."
    return f"The defaults move {len(moved)} of {text.count(len(rows), 'difference')}: {text.names(moved)}."


def pair(row: DefaultsTest) -> str:
    """`Keras − PyTorch`."""
    return f"{text.framework(row.first)} − {text.framework(row.second)}"


def _named(row: DefaultsTest, rows: Sequence[DefaultsTest]) -> str:
    """The pair, with its arms where there are others."""
    return f"{pair(row)} ({_arms(row)})" if _several(rows) else pair(row)


def _several(rows: Sequence[DefaultsTest]) -> bool:
    """Whether rows are of more than one pair of arms."""
    return len({(row.idiomatic, row.matched) for row in rows}) > 1


def _arms(row: DefaultsTest) -> str:
    """What both arms have in their names beside the mode; where that is nothing, or not the same, both names."""
    own, equal = (_without(name, mode) for name, mode in ((row.idiomatic, "idiomatic"), (row.matched, "matched")))
    return own if own and own == equal else f"{row.idiomatic} / {row.matched}"


def _without(name: str, mode: str) -> str:
    return "-".join(part for part in name.split("-") if part != mode)


def _cells(row: DefaultsTest, several: bool) -> tuple[str, ...]:
    arms = (_arms(row),) if several else ()
    sure = text.MISSING if row.moved is None or row.moved.p_adjusted is None else text.p_value(row.moved.p_adjusted)
    return (pair(row), *arms, row.finding, _seeds(row), *map(_difference, (row.own, row.equal, row.moved)), sure)


def _seeds(row: DefaultsTest) -> str:
    """One number where all three figures are over the same seeds."""
    counts = [0 if test is None else test.seeds for test in (row.own, row.equal, row.moved)]
    return str(counts[0]) if len(set(counts)) == 1 else "/".join(map(str, counts))


def _difference(test: SeedTest | None) -> str:
    if test is None:
        return text.MISSING
    return text.bare_points(test.mean) + (f" ({text.bare_range(test.interval)})" if test.interval else "")


def chart(rows: Sequence[DefaultsTest]) -> Figure:
    """For each pair of frameworks the difference in either mode with its interval, and a line from one to the other."""
    figure = go.Figure()
    figure.add_scatter(
        x=[place for row in rows for place in (*(_points(of(row)) for *_, of in SIDES), None)],
        y=[place for number in range(len(rows)) for place in (*(number + beside for *_, beside, _ in SIDES), None)],
        mode="lines",
        line={"color": color("muted"), "width": 1.5, "dash": "dot"},
        showlegend=False,
        hoverinfo="skip",
    )
    for side in SIDES:
        _add_side(figure, rows, side)
    figure.update_layout(
        xaxis={
            "title": {"text": "points, first minus second"},
            "range": _range(rows),
            "nticks": 6,
            "tickformat": "~g",
            "zeroline": True,
            "zerolinecolor": color("muted"),
        },
        yaxis={
            "tickvals": list(range(len(rows))),
            "ticktext": _labels(rows),
            "range": [len(rows) - 0.5, -0.5],
            "showgrid": False,
        },
        meta=table_heads(series="Mode", x="Difference, points", y="Frameworks"),
    )
    return as_json(figure)


def _add_side(figure: go.Figure, rows: Sequence[DefaultsTest], side: Side) -> None:
    name, symbol, beside, of = side
    shown = [(number, row, test) for number, row in enumerate(rows) if (test := of(row))]
    labels = _labels(rows)
    figure.add_scatter(
        x=[_points(test) for *_, test in shown],
        y=[number + beside for number, *_ in shown],
        name=name,
        orientation="h",
        meta={"y": [labels[number] for number, *_ in shown]},
        mode="markers",
        marker={
            "symbol": [symbol if outcome(test) == "difference" else f"{symbol}-open" for *_, test in shown],
            "size": 11,
            "color": color(name),
            "line": {"width": 2, "color": color(name)},
        },
        error_x=_whiskers([test for *_, test in shown], name),
        customdata=[[pair(row), text.bare_range(test.interval)] for _, row, test in shown],
        hovertemplate=f"{name}, %{{customdata[0]}}: %{{x:+.2f}} points (%{{customdata[1]}})<extra></extra>",
    )


def _whiskers(tests: Sequence[SeedTest], name: str) -> dict[str, object]:
    """Without ends: those of an interval of no length would be seen in a hollow mark."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [test.interval and 100 * (test.interval[1] - test.mean) for test in tests],
        "arrayminus": [test.interval and 100 * (test.mean - test.interval[0]) for test in tests],
        "color": color(name),
        "thickness": 2,
        "width": 0,
    }


def _points(test: SeedTest | None) -> float | None:
    return None if test is None else 100 * test.mean


def _labels(rows: Sequence[DefaultsTest]) -> list[str]:
    several = _several(rows)
    return [label(pair(row), _arms(row) if several else "") for row in rows]


def _range(rows: Sequence[DefaultsTest]) -> list[float]:
    """Zero, every difference and every interval but those of two seeds, beside which nothing else could be seen."""
    tests = [test for row in rows for *_, of in SIDES if (test := of(row))]
    shown = [0.0, *(test.mean for test in tests)]
    shown += [end for test in tests if test.interval and test.seeds >= SEEDS_NEEDED for end in test.interval]
    low, high = min(shown), max(shown)
    margin = 0.08 * (high - low) or 0.001
    return [100 * (low - margin), 100 * (high + margin)]
