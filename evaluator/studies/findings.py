"""A finding as people read it: its row of a chapter, and the cells that other tables share with it."""

import math
from collections.abc import Callable, Sequence
from functools import partial

from core.schemas.study import Claim, Measure
from evaluator import text
from evaluator.report.tables import Table
from evaluator.studies.judge import Finding, Measured
from evaluator.text import MISSING

OF_WHAT: dict[Measure, str] = {
    "accuracy": "",
    "recall": " (recall of {of_class})",
    "train_accuracy": " (training images)",
    "validation_accuracy": " (validation images)",
    "training_seconds": "",
    "fit_seconds": " (with validation)",
}


def findings_table(findings: Sequence[Finding]) -> Table:
    """One row for each claim and mode."""
    headers = ("Claim", "Mode", "Measured", "Images", "Epochs", "Seeds", "Difference, 95% interval", "Verdict", "Why")
    rows = tuple(
        (
            finding.claim.text,
            finding.mode or MISSING,
            measured(finding),
            *work(finding),
            difference(finding),
            f"{finding.verdict}",
            why(finding),
        )
        for finding in findings
    )
    return Table("Claims", headers, rows, names=len(headers))


def work(finding: Finding) -> tuple[str, str, str]:
    """How many training images, epochs and seeds are behind it; epochs of both sides where they differ."""
    epochs = "/".join(dict.fromkeys(str(side.epochs) for side in finding.sides)) or "0"
    return f"{finding.images:,}", epochs, str(finding.seeds)


def measured(finding: Finding) -> str:
    """The means of both sides; a dash where nothing was trained."""
    return " · ".join(_mean(side, finding) for side in finding.sides if side.by_seed) or MISSING


def difference(finding: Finding) -> str:
    """Mean and interval of first minus second; of first by second where the claim is a number of times."""
    test = finding.test
    if test is None:
        return MISSING
    show, unit = _units(finding.claim)
    if test.interval is None:
        few = "one seed" if test.seeds == 1 else "the same in every seed"
        return f"{show(test.mean)} {unit}, {few}: no interval"
    return f"{show(test.mean)} {unit} ({show(test.interval[0])} to {show(test.interval[1])})"


def _units(claim: Claim) -> tuple[Callable[[float], str], str]:
    """How a claim's differences are written, and their unit."""
    if claim.times is not None:
        return partial(_ratio, claim.times), "times"
    return (_seconds, "s") if claim.is_about_time else (text.bare_points, "points")


def why(finding: Finding) -> str:
    """What the verdict rests on."""
    if finding.shortfalls:
        return "; ".join(finding.shortfalls)
    parts = []
    if finding.test and finding.test.p_adjusted is not None:
        parts.append(f"{text.p_value(finding.test.p_adjusted)} after correction")
    if (gap := published_gap(finding.claim)) is not None:
        parts.append(f"published: {text.bare_points(gap)} points")
    if finding.claim.times is not None:
        parts.append(f"published: {finding.claim.times:g} times")
    return "; ".join(parts)


def published_gap(claim: Claim) -> float | None:
    """The study's difference of shares; None where it gives none, or bounds."""
    if claim.is_about_time or claim.second is None:
        return None
    if claim.first.published is None or claim.second.published is None or claim.first.bound or claim.second.bound:
        return None
    return claim.first.published - claim.second.published


def _mean(side: Measured, finding: Finding) -> str:
    value = sum(side.by_seed.values()) / len(side.by_seed)
    name = f"{text.framework(side.side.framework)} {side.arm}"
    what = OF_WHAT[side.measure].format(of_class=finding.claim.of_class)
    if not finding.claim.is_about_time:
        return f"{name} {text.percent(value)}{what}"
    notes = [_scaling(side)] * side.scaled + ["contended"] * side.contended
    notes = [note for note in notes if note]
    return f"{name} {text.seconds(value)}{what}" + (f" ({'; '.join(notes)})" if notes else "")


def _scaling(side: Measured) -> str:
    """Empty for a side that ran all epochs."""
    ran = {side.ran[seed] for seed in side.by_seed} - {side.side.epochs}
    if not ran:
        return ""
    fewest, most = min(ran), max(ran)
    return f"{fewest}{f' to {most}' if most > fewest else ''} epochs, scaled to {side.side.epochs}"


def _ratio(times: float, value: float) -> str:
    return f"{times * math.exp(value):,.2f}"


def _seconds(value: float) -> str:
    return f"{value:+.1f}"
