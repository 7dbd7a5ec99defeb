"""`docs/studies.md`: claim, what was measured, verdict, why."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from core.schemas.attribution import Attribution
from core.schemas.experiment import Experiment
from core.schemas.study import Claim, Measure, Study
from core.schemas.summary import Summary
from evaluator import text
from evaluator.report.html import describe_recipe
from evaluator.report.markdown import escape, markdown_table
from evaluator.report.seed_tables import effort, time_note, time_shares
from evaluator.report.tables import Table
from evaluator.statistics import SEEDS_NEEDED
from evaluator.studies import same_images, searches, splits
from evaluator.studies.defaults import (
    Shift,
    attribution_section,
    attribution_shortfalls,
    shift_section,
    shifts,
    untested,
)
from evaluator.studies.evidence import SHARE_NEEDED
from evaluator.studies.judge import NOT_TESTED, Finding, Measured
from evaluator.text import MISSING

INTRO = f"""# The five studies

Written by `make studies` from the result files in [results/](results/); no figure on this page is typed. Each study
published one run per framework. Here an experiment file of the same name repeats it in both modes.

**Verdicts.** A claim is tested on the difference over seeds: mean, Student's 95% interval, paired t test,
corrected by Holm for all rows of the study that may lead to a verdict, in whichever chapter they are. *Holds* and
*the opposite*: the corrected p is below 0.05. *No difference shown*: it is not, which is no proof that there is none.
A figure instead of a comparison is tested against what was published; a number of times as long against that factor,
as a ratio, on a log scale. Every row of a chapter says how many training images, epochs and seeds are behind it. Fewer
than {SEEDS_NEEDED} seeds, or under {SHARE_NEEDED:.0%} of the study's images or epochs, may only say *{NOT_TESTED}*; so
may times of trainings that shared the machine (*contended*). Which default makes a difference is tested by seed too,
under the same rule: both modes against each other, corrected for all such tests of the study, and switch by switch,
corrected for those of its section. Intervals are not corrected. Accuracies are those of the ONNX artefact on the test
images, as served, unless the row says training or validation images: those are the last epoch's, from the framework's
own loop.

Of each claim and mode the table names the result with the best evidence: one with a verdict before one without, then
the one of the most images × epochs × seeds. Its link leads to the chapter with the figures."""

OF_WHAT: dict[Measure, str] = {
    "accuracy": "",
    "train_accuracy": " (training images)",
    "validation_accuracy": " (validation images)",
    "training_seconds": "",
}

ELSEWHERE = "None of its claims could be measured here; another chapter of the study has them."
"""Of a chapter whose claims were all unavailable to it."""


@dataclass(frozen=True)
class Chapter:
    """One result file and what it says about its study."""

    name: str
    summary: Summary
    study: Study
    findings: tuple[Finding, ...]

    @property
    def experiment(self) -> Experiment:
        """As it was frozen."""
        return Experiment.model_validate_json(self.summary.spec_json)

    @property
    def study_key(self) -> str:
        """What results of one study share."""
        return self.study.key_in(self.experiment.name)

    @property
    def chart(self) -> str:
        """Its picture's path, relative to the page."""
        return f"images/study-{self.name}.svg"

    @property
    def attribution(self) -> Attribution | None:
        """Which default makes how much of the difference, without p values where it is too small for them; None where
        that was not asked."""
        found = self.summary.attribution
        return untested(found) if found and self.attribution_shortfalls else found

    @property
    def attribution_shortfalls(self) -> tuple[str, ...]:
        """Why the attribution is not tested; empty where it is, or is not there."""
        found = self.summary.attribution
        return attribution_shortfalls(found, self.summary, self.study) if found else ()

    @property
    def waterfall(self) -> str:
        """The attribution's picture, likewise."""
        return f"images/study-{self.name}-waterfall.svg"


Changed = Mapping[str, Sequence[str]]
"""Name of a result to the keys in which its experiment file is another one now."""


def page(
    chapters: Sequence[Chapter],
    by_split: Sequence[Summary] = (),
    changed: Changed = MappingProxyType({}),
    searched: Sequence[Summary] = (),
) -> str:
    """The whole page as Markdown.

    Args:
        by_split: summaries of experiments on two splits.
        changed: what is said of a result that was measured before its experiment file changed.
        searched: summaries of experiments that searched.
    """
    keys = dict.fromkeys(one.study_key for one in chapters)
    moved = [shift for key in keys for shift in shifts([one.findings for one in chapters if one.study_key == key])]
    told = [part for one in chapters for part in _chapter(one, changed, moved, chapters)]
    told += [part for one in searched for part in _search(one, changed)]
    return "\n\n".join([INTRO, *_overview(chapters), *told, *_splits(by_split, changed)]) + "\n"


def _search(one: Summary, changed: Changed) -> Iterator[str]:
    yield from searches.section(one)
    yield from _revision(one.experiment, Experiment.model_validate_json(one.spec_json).name, changed)


def _revision(name: str, experiment: str, changed: Changed) -> Iterator[str]:
    if keys := changed.get(name):
        yield (
            f"> **Measured with an earlier revision of this file:** `{experiment}.yaml` has changed in "
            f"{text.names([f'`{key}`' for key in keys])} since."
        )


def _splits(found: Sequence[Summary], changed: Changed) -> Iterator[str]:
    """Results on two splits that repeat no study."""
    if found:
        yield "## How far a random split flatters"
    for one in found:
        experiment = Experiment.model_validate_json(one.spec_json)
        yield f'<a id="{one.experiment}"></a>\n\n### {escape(one.title)}'
        if one.description:
            yield escape(one.description)
        yield _what_ran(one, experiment)
        yield from splits.section(one)
        yield from (f"> {escape(note)}" for note in (*one.notes, *one.missing))
        yield from _revision(one.experiment, experiment.name, changed)


def _overview(chapters: Sequence[Chapter]) -> Iterator[str]:
    rows = [
        (f"[{escape(one.study.title)}](#{one.name})", finding.claim.text, finding.mode or MISSING, finding.verdict)
        for one, finding in best_evidence(chapters)
    ]
    lines = ["| study | claim | mode | verdict |", "| --- | --- | --- | --- |"]
    lines += [f"| {study} | {escape(claim)} | {mode} | {verdict} |" for study, claim, mode, verdict in rows]
    yield "\n".join(lines)


def best_evidence(chapters: Sequence[Chapter]) -> list[tuple[Chapter, Finding]]:
    """One finding for each study, claim and mode, with the chapter it is in."""
    found: dict[tuple[str, str, str], tuple[Chapter, Finding]] = {}
    for one in chapters:
        for finding in one.findings:
            key = (one.study_key, finding.claim.text, finding.mode)
            if key not in found or _evidence(finding) > _evidence(found[key][1]):
                found[key] = (one, finding)
    return list(found.values())


def _evidence(finding: Finding) -> tuple[bool, int]:
    return finding.verdict != NOT_TESTED, finding.images * finding.epochs * finding.seeds


def _chapter(one: Chapter, changed: Changed, moved: Sequence[Shift], chapters: Sequence[Chapter]) -> Iterator[str]:
    experiment = one.experiment
    yield f'<a id="{one.name}"></a>\n\n## {escape(one.summary.title)}'
    if one.summary.description:
        yield escape(one.summary.description)
    yield f"**Beforehand.** {escape(one.study.fits)}"
    yield _what_ran(one.summary, experiment)
    yield from (f"{note} Its claims are that revision's." for note in _revision(one.name, experiment.name, changed))
    yield markdown_table(findings_table(one.findings)) if one.findings else ELSEWHERE
    for shift in moved:
        if any(shift.idiomatic is finding for finding in one.findings):
            yield shift_section(shift, published_gap(shift.idiomatic.claim), _elsewhere(shift, one, chapters))
    yield from same_images.section(one.findings, one.summary)
    if why := _reasons(one.findings):
        yield "**What differed in the study besides the framework.**\n\n" + "\n".join(f"- {line}" for line in why)
    yield f"![Accuracy of every seed, its mean and the published figures]({one.chart})"
    if one.attribution:
        yield from attribution_section(one.attribution, one.attribution_shortfalls, one.waterfall)
    if one.summary.other_split:
        yield from splits.section(one.summary)
    told = f"{effort(one.summary)} {time_note(one.summary)}".strip()
    yield f"**Where the time went.** {escape(told)}\n\n{markdown_table(time_shares(one.summary))}"
    yield from (f"> {escape(note)}" for note in one.summary.notes)
    if one.summary.missing:
        yield "> **Incomplete:** " + escape("; ".join(one.summary.missing))


def _elsewhere(shift: Shift, here: Chapter, chapters: Sequence[Chapter]) -> str:
    """Name of the result that the matched difference is from; empty where it is this one."""
    found = (one.name for one in chapters if any(shift.matched is finding for finding in one.findings))
    name = next(found, here.name)
    return "" if name == here.name else name


def _what_ran(summary: Summary, experiment: Experiment) -> str:
    scale = f", scale `{experiment.scale}`" if experiment.scale != "full" else ""
    counts = summary.data
    images = (
        f"{counts.images('train'):,} training, {counts.images('validation'):,} validation and "
        f"{counts.images('test'):,} test images, split {counts.policy}"
        if counts
        else "data unknown"
    )
    machine = "; ".join(
        dict.fromkeys(f"{p.environment.cpu_model}, {p.environment.cpu_quota:g} cores" for p in summary.places)
    )
    arms = "; ".join(f"`{arm.name}` {describe_recipe(arm)}" for arm in summary.arms)
    return f"**What ran.** `{experiment.name}`{scale}: {images}. {arms}. On {escape(machine)}."


def findings_table(findings: Sequence[Finding]) -> Table:
    """One row for each claim and mode."""
    headers = ("Claim", "Mode", "Measured", "Images", "Epochs", "Seeds", "Difference, 95% interval", "Verdict", "Why")
    rows = tuple(
        (
            finding.claim.text,
            finding.mode or MISSING,
            measured(finding),
            f"{finding.images:,}",
            "/".join(dict.fromkeys(str(side.epochs) for side in finding.sides)) or "0",
            str(finding.seeds),
            difference(finding),
            f"{finding.verdict}",
            why(finding),
        )
        for finding in findings
    )
    return Table("Claims", headers, rows, names=len(headers))


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
        few = "one seed" if test.seeds == 1 else "no spread between seeds"
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
    """The study's difference of accuracies; None where it gives none."""
    if claim.is_about_time or claim.second is None:
        return None
    if claim.first.published is None or claim.second.published is None:
        return None
    return claim.first.published - claim.second.published


def _reasons(findings: Sequence[Finding]) -> list[str]:
    claims = dict.fromkeys(finding.claim for finding in findings)
    return [f"{escape(claim.text)} {escape(claim.reason)}" for claim in claims if claim.reason]


def _mean(side: Measured, finding: Finding) -> str:
    value = sum(side.by_seed.values()) / len(side.by_seed)
    name = f"{text.framework(side.side.framework)} {side.arm}"
    if not finding.claim.is_about_time:
        return f"{name} {text.percent(value)}{OF_WHAT[side.measure]}"
    return f"{name} {text.seconds(value)}" + (" (contended)" if side.contended else "")


def _ratio(times: float, value: float) -> str:
    return f"{times * math.exp(value):,.2f}"


def _seconds(value: float) -> str:
    return f"{value:+.1f}"
