"""`docs/studies.md`: what is left of the published differences, then claim by claim and study by study."""

from collections.abc import Iterator, Sequence
from types import MappingProxyType

from core.schemas.experiment import Experiment
from core.schemas.summary import Summary
from evaluator.report.pipes import escape
from evaluator.studies import answers, introduction, result, searches, splits, study_section
from evaluator.studies.chapter import Chapter
from evaluator.studies.defaults import Shift, shifts
from evaluator.studies.gaps import PATH
from evaluator.studies.overview import overview
from evaluator.studies.revision import Revisions

PICTURE = f"![Published and measured differences in accuracy between two frameworks]({PATH})"


def page(
    chapters: Sequence[Chapter],
    by_split: Sequence[Summary] = (),
    revisions: Revisions = MappingProxyType({}),
    searched: Sequence[Summary] = (),
    without: Sequence[Experiment] = (),
) -> str:
    """The whole page as Markdown.

    Args:
        by_split: summaries of experiments on two splits.
        revisions: of the results that were not measured with their file as it is now.
        searched: summaries of experiments that searched.
        without: experiments that repeat a study and have no result.
    """
    missing = {_key(one): [other for other in without if _key(other) == _key(one)] for one in without}
    keys = sorted({*(one.study_key for one in chapters), *missing})
    moved = {key: shifts([one.findings for one in chapters if one.study_key == key]) for key in keys}
    parts = [introduction.TITLE, *_answers(chapters, moved, keys), introduction.reading()]
    parts += [introduction.OVERVIEW, overview(chapters, revisions)]
    for key in keys:
        own = [one for one in chapters if one.study_key == key]
        parts += study_section.section(key, own, moved[key], revisions, missing.get(key, ()))
    parts += _searches(searched, chapters, revisions)
    return "\n\n".join([*parts, *_splits(by_split, revisions)]) + "\n"


def _key(experiment: Experiment) -> str:
    assert experiment.study, "only experiments that repeat a study have a place without a result"
    return experiment.study.key_in(experiment.name)


def _answers(chapters: Sequence[Chapter], moved: dict[str, list[Shift]], keys: Sequence[str]) -> Iterator[str]:
    found = answers.answers(chapters, [shift for own in moved.values() for shift in own])
    nothing = [key for key in keys if key not in {one.study_key for one in chapters}]
    yield introduction.ANSWERS
    yield answers.table(found, nothing)
    yield PICTURE
    yield introduction.GLANCE


def _searches(found: Sequence[Summary], chapters: Sequence[Chapter], revisions: Revisions) -> Iterator[str]:
    if found:
        yield "## What the searches found"
    for one in found:
        yield from searches.section(one, chapters, revisions.get(one.experiment))


def _splits(found: Sequence[Summary], revisions: Revisions) -> Iterator[str]:
    """Results on two splits that repeat no study."""
    if found:
        yield "## How far a random split flatters"
    for one in found:
        yield f'<a id="{one.experiment}"></a>\n\n### {escape(one.title)}'
        if one.description:
            yield escape(one.description)
        yield from result.what_ran(one)
        yield from splits.section(one)
        yield from result.notes(one, times=False)
        if revision := revisions.get(one.experiment):
            yield revision.note
