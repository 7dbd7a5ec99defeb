"""`docs/studies.md`: claim, what was measured, verdict, why."""

from collections.abc import Iterator, Sequence
from types import MappingProxyType

from core.schemas.experiment import Experiment
from core.schemas.summary import Summary
from evaluator import text
from evaluator.report.markdown import escape, markdown_table
from evaluator.report.recipes import describe_recipe
from evaluator.report.seed_tables import effort, time_note, time_shares
from evaluator.statistics import SEEDS_NEEDED
from evaluator.studies import same_images, searches, splits
from evaluator.studies.chapter import Changed, Chapter
from evaluator.studies.chart import published_accuracies
from evaluator.studies.defaults import Shift, attribution_section, shift_section, shifts
from evaluator.studies.evidence import SHARE_NEEDED
from evaluator.studies.findings import findings_table, published_gap
from evaluator.studies.gaps import PATH
from evaluator.studies.judge import NOT_TESTED, Finding
from evaluator.studies.overview import overview

INTRO = f"""# The five studies

Written by `make studies` from the result files in [results/](results/); no figure on this page is typed. Each study
published one run per framework. Here an experiment file of the same name repeats it in both modes.

**Verdicts.** A claim is tested on the difference over seeds: mean, Student's 95% interval, paired t test,
corrected by Holm for all rows of the study that may lead to a verdict, in whichever chapter they are. *Holds* and
*the opposite*: the corrected p is below 0.05. *No difference shown*: it is not, which is no proof that there is none.
A figure instead of a comparison is tested against what was published; a number of times as long against that factor,
as a ratio, on a log scale. Every row of a chapter says how many training images, epochs and seeds are behind it. Fewer
than {SEEDS_NEEDED} seeds, or under {SHARE_NEEDED:.0%} of the study's images or epochs, may only say *{NOT_TESTED}*; so
may times of trainings that shared the machine (*contended*), and times of sides that ran different shares of the
study's epochs, which are scaled to all of them. Which default makes a difference is tested by seed too,
under the same rule: both modes against each other, corrected for all such tests of the study, and switch by switch,
corrected for those of its section. Intervals are not corrected. Accuracies are those of the ONNX artefact on the test
images, as served, unless the row says training or validation images: those are the last epoch's, from the framework's
own loop."""
GLANCE = """**At a glance.** Every claim that compares the accuracy of two frameworks by one measure: what the study
published, what is measured with the frameworks' own defaults (idiomatic), and with everything equal but their kernels
(matched).  Where both
train one network and a solid mark's band excludes what was published, the published difference came of a single run or
of what else the study did differently. Whether defaults move a difference is tested in the chapters, under *Framework
or defaults?*"""
EVIDENCE = """Of each claim and mode the table names the result with the best evidence: one with a verdict before one
without, then the one of the most images × epochs × seeds. Its link leads to the chapter with the figures. What rests on
trainings that another result has too, with more seeds, is in that one's chapter only."""

ELSEWHERE = "Its claims are in another chapter of the study."
"""Of a chapter whose claims were unavailable to it, or rest on trainings that another one has too."""


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
    glance = f"{GLANCE}\n\n![Published and measured differences in accuracy between two frameworks]({PATH})"
    return (
        "\n\n".join([INTRO, glance, EVIDENCE, overview(chapters, changed), *told, *_splits(by_split, changed)]) + "\n"
    )


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
    yield from same_images.section((*one.findings, *one.repeated), one.summary)
    if why := _reasons(one.findings):
        yield "**What differed in the study besides the framework.**\n\n" + "\n".join(f"- {line}" for line in why)
    figures = " and the published figures" if published_accuracies(one.study) else ""
    yield f"![Test accuracy of every seed, its mean{figures}]({one.chart})"
    if one.attribution:
        yield from attribution_section(one.attribution, one.attribution_shortfalls, one.waterfall)
    if one.summary.other_split:
        yield from splits.section(one.summary)
    told = f"{effort(one.summary)} {time_note(one.summary)}".strip()
    yield f"**Where the time went.** {escape(told)}"
    yield f"![Share of wall time by phase, of every framework and arm]({one.wall_time})"
    yield markdown_table(time_shares(one.summary))
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


def _reasons(findings: Sequence[Finding]) -> list[str]:
    claims = dict.fromkeys(finding.claim for finding in findings)
    return [f"{escape(claim.text)} {escape(claim.reason)}" for claim in claims if claim.reason]
