"""What the searches of the studies found: S1's grid of nets, S5's further work."""

from collections.abc import Iterator, Sequence

from core.schemas.experiment import Experiment
from core.schemas.search import SearchOutcome, Trial
from core.schemas.summary import Summary
from evaluator import text
from evaluator.claims.arms import unscaled
from evaluator.claims.levels import chance
from evaluator.report import search
from evaluator.report.pipes import escape, markdown_table
from evaluator.studies import result
from evaluator.studies.chapter import Chapter
from evaluator.studies.folding import folded
from evaluator.studies.revision import Revision


def section(summary: Summary, chapters: Sequence[Chapter], revision: Revision | None) -> Iterator[str]:
    """What was tried, on how many images, how far it may be trusted, and every trial.

    Args:
        chapters: the studies' results; one on the same images says how many the study has.
    """
    shown = unscaled(summary)
    assert shown.search, "a result without a search has no section"
    experiment = Experiment.model_validate_json(summary.spec_json)
    table = search.table(shown.search)
    yield f'<a id="{summary.experiment}"></a>\n\n### {escape(summary.title)}'
    yield escape(summary.description)
    yield f"`{experiment.name}`, {result.scale_words(experiment.scale)}: {_images(summary, chapters)}."
    yield escape(" ".join([search.sentence(shown.search), *_trust(summary, shown.search)]))
    if revision:
        yield revision.note
    yield from result.notes(summary, times=False)
    yield from folded(f"All {len(shown.search.trials)} trials", (f"{escape(table.caption)}.", markdown_table(table)))


def _images(summary: Summary, chapters: Sequence[Chapter]) -> str:
    if (data := summary.data) is None:
        return "data unknown"
    same = (one for one in chapters if one.summary.data and one.summary.data.source == data.source)
    study = next((f" of the study's {one.study.images:,}" for one in same), "")
    folds = f" in each of {summary.search.plan.folds} folds" if summary.search and summary.search.plan.folds else ""
    return f"{data.images('train'):,}{study} training images, {data.images('validation'):,} validation images{folds}"


def _trust(summary: Summary, found: SearchOutcome) -> Iterator[str]:
    """What keeps the best trial from being the best network."""
    if (level := chance(summary, "validation")) is not None:
        yield f"Chance level is {text.percent(level)}."
    complete = [trial for trial in found.trials if trial.state == "complete" and trial.value is not None]
    if len(tied := _tied(complete, found.best)) > 1:
        yield f"{len(tied)} trials tie for it: {text.names([str(trial.number) for trial in tied])}."
    # A search trains every trial with the experiment's first seed only.
    yield "One seed each: no ranking, with another one the order may be another."
    if found.plan.folds:
        yield f"Epochs are those of all {found.plan.folds} folds of a trial together."
    yield from _tested(summary)


def _tied(complete: Sequence[Trial], best: int | None) -> list[Trial]:
    value = next((trial.value for trial in complete if trial.number == best), None)
    return [trial for trial in complete if trial.value == value]


def _tested(summary: Summary) -> Iterator[str]:
    """Test accuracy of the best trial, the only one that sees the test images."""
    scored = [row for row in summary.rows if row.format == "onnx" and not row.variant and row.accuracy is not None]
    for row in scored[:1]:
        images = f" of {row.images:,} images" if row.images else ""
        yield f"Its test accuracy is {text.share(row.accuracy)}{images}."
        if summary.data and summary.data.policy == "contiguous":
            yield "Validation and test images are different blocks, so the two accuracies need not agree."
