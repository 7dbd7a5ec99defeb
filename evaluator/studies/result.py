"""One result of a study on the page: what ran, its claims, its pictures and where the time went."""

from collections.abc import Iterator, Sequence
from html import escape as html_escape

from core.schemas.experiment import FULL, Experiment
from core.schemas.summary import Summary
from evaluator import text
from evaluator.claims import memory
from evaluator.claims.arms import unscaled, without_scale
from evaluator.claims.judge import Finding
from evaluator.report.pipes import escape, markdown_table
from evaluator.report.recipes import describe_recipe
from evaluator.report.seed_tables import effort, time_shares
from evaluator.report.tables import Table
from evaluator.studies import splits
from evaluator.studies.chapter import Chapter
from evaluator.studies.chart import published_accuracies
from evaluator.studies.defaults import attribution_section
from evaluator.studies.findings import common_reasons, findings_table
from evaluator.studies.folding import folded
from evaluator.studies.revision import Revision

ELSEWHERE = "None of the study's claims is told here: they are with another result, or without a measurement."
"""Of a result whose claims were unavailable to it, or rest on trainings that another one has too."""
SWITCHES = "What each key switches, and between what, is listed in [Experiment files](experiments.md#arms)."
FEW_ARMS = 2
"""So many are told at once; more are folded."""


def section(one: Chapter, revision: Revision | None) -> Iterator[str]:
    """The result under a heading with its scale; a small one folded, below an anchor that links find."""
    yield f'<a id="{one.name}"></a>\n\n### {heading(one)}'
    parts = list(_parts(one, revision))
    yield from folded(f"For trying the experiment: {_size(one)}", parts) if one.is_small else parts


def heading(one: Chapter) -> str:
    """Which file and which size."""
    return f"{one.study_key.upper()} · `{one.experiment.name}`, {scale_words(one.experiment.scale)}"


def scale_words(scale: str) -> str:
    """`full size`, `scale small`."""
    return "full size" if scale == FULL else f"scale `{scale}`"


def _size(one: Chapter) -> str:
    images = one.summary.data.images("train") if one.summary.data else 0
    return f"{images:,} training images, {text.count(len(one.experiment.seeds), 'seed')}"


def _parts(one: Chapter, revision: Revision | None) -> Iterator[str]:
    yield from what_ran(one.summary)
    if (study := one.experiment.study) and study.fits != one.study.fits:
        yield from folded("What was said to fit before this ran", [escape(study.fits)])
    if revision:
        yield revision.note
    yield from _claims([finding for finding in one.findings if finding.sides])
    figures = " and the published figures" if published_accuracies(one.study) else ""
    yield f"![Test accuracy of every seed, its mean{figures}]({one.chart})"
    if one.attribution:
        yield from attribution_section(one.attribution, one.attribution_shortfalls, one.waterfall)
    if one.summary.other_split:
        yield from splits.section(one.shown)
    yield from notes(one.summary)
    yield from folded(f"Where the time went. {html_escape(effort(one.summary))}".strip(), _times(one))


def _claims(findings: Sequence[Finding]) -> Iterator[str]:
    if not findings:
        yield ELSEWHERE
        return
    if said := common_reasons(findings):
        yield f"No row may lead to a verdict: {escape('; '.join(said))}."
    yield markdown_table(findings_table(findings, said))


def _times(one: Chapter) -> Iterator[str]:
    yield f"![Share of wall time by phase, of every framework and arm]({one.wall_time})"
    yield markdown_table(time_shares(one.shown))


def notes(summary: Summary, times: bool = True) -> Iterator[str]:
    """What its reader must know; with `times` also of those that are shown."""
    yield from (f"> {escape(note)}" for note in summary.notes)
    if times and (memories := memory.note(summary)):
        yield memories
    if summary.missing:
        yield "> **Incomplete:** " + escape("; ".join(summary.missing))


def what_ran(summary: Summary) -> Iterator[str]:
    """Images, machine, and the arms: a table, folded where it is long."""
    counts = summary.data
    images = (
        f"{counts.images('train'):,} training, {counts.images('validation'):,} validation and "
        f"{counts.images('test'):,} test images of {counts.image.height}×{counts.image.width}, split {counts.policy}"
        if counts
        else "Data unknown"
    )
    machine = "; ".join(
        dict.fromkeys(f"{p.environment.cpu_model}, {p.environment.cpu_quota:g} cores" for p in summary.places)
    )
    yield f"{images}. On {escape(machine)}."
    arms, switches = unscaled(summary).arms, switched(Experiment.model_validate_json(summary.spec_json))
    rows = tuple((arm.name, switches.get(arm.name) or describe_recipe(arm)) for arm in arms)
    table = Table("Arms", ("Arm", "What it trains"), rows, names=2)
    parts = [markdown_table(table), *([SWITCHES] if switches else [])] if arms else []
    yield from parts if len(arms) <= FEW_ARMS else folded(f"The {len(arms)} arms", parts)


def switched(experiment: Experiment) -> dict[str, str]:
    """What the arms are that an attribution adds, by the name they have on the page: nothing else tells them apart."""
    if (plan := experiment.attribution) is None:
        return {}
    start, end, *steps = (without_scale(arm, experiment.scale) for arm in (*plan.arms, *plan.steps))
    found = {step: _as_in(start, end, plan.order[:number]) for number, step in enumerate(steps, 1)}
    singles = [without_scale(arm, experiment.scale) for arm in plan.singles]
    return {arm: _as_in(start, end, (key,)) for arm, key in zip(singles, plan.order, strict=False)} | found


def _as_in(start: str, end: str, keys: tuple[str, ...]) -> str:
    return f"{start} with {text.names(keys)} as in {end}"
