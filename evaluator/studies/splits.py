"""How far a random split of video frames flatters: the same training, tested on frames whose neighbours it has seen,
and on others."""

from collections.abc import Mapping

from core.schemas.summary import Group, Summary
from evaluator import text
from evaluator.report.tables import Table

RANDOM, CONTIGUOUS = "asl-random", "asl-contiguous"
"""Experiments that differ in their split alone."""
NAMES = (RANDOM, CONTIGUOUS)


def table(found: Mapping[str, Summary]) -> Table | None:
    """A row for each framework, mode and network that both were trained with; None where one of the two is missing."""
    if not all(name in found for name in NAMES):
        return None
    random, contiguous = ({(g.framework, g.arm): g for g in found[name].groups if g.accuracy} for name in NAMES)
    headers = ("Framework", "Arm", "Seeds", "Random split", "Contiguous blocks", "Flattered by")
    rows = tuple(
        (
            text.framework(framework),
            arm,
            str(min(len(random[key].seeds), len(contiguous[key].seeds))),
            _spread(random[key]),
            _spread(contiguous[key]),
            f"{text.bare_points(_mean(random[key]) - _mean(contiguous[key]))} points",
        )
        for key in random
        if key in contiguous
        for framework, arm in [key]
    )
    return Table("Test accuracy by split", headers, rows, names=3)


def _mean(group: Group) -> float:
    assert group.accuracy, "groups without accuracy are left out"
    return group.accuracy.mean


def _spread(group: Group) -> str:
    assert group.accuracy, "groups without accuracy are left out"
    mean, interval = text.percent(group.accuracy.mean), group.accuracy.interval
    return f"{mean} ({text.percent(interval[0])} to {text.percent(interval[1])})" if interval else mean
