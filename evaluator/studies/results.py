"""The result files the page is made from: summaries of experiments that repeat a study."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from core import files
from core.errors import InvalidInputError
from core.schemas.experiment import Experiment
from core.schemas.summary import Summary, parse_summary
from evaluator.claims.arms import short_arm
from evaluator.claims.judge import Finding, decide, measure, study_of
from evaluator.statistics import spread
from evaluator.studies.chapter import Chapter
from evaluator.studies.revision import changed_keys, study_now


def chapters(folder: Path, committed: Mapping[str, Experiment] = MappingProxyType({})) -> list[Chapter]:
    """Every summary in a folder that repeats a study, in the order of their names.

    Args:
        committed: the experiment files as they are now, by the name of the result; without one a result is judged by
            the claims it was measured with.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        summary = parse_summary(path.read_bytes(), str(path))
        study = study_of(summary)
        if path.stem in committed:
            study = study_now(Experiment.model_validate_json(summary.spec_json), committed[path.stem])
            summary = in_words_of(committed[path.stem], summary)
        if study:
            found.append(Chapter(path.stem, summary, study, tuple(measure(summary, study))))
    return judged(found)


def in_words_of(now: Experiment, summary: Summary) -> Summary:
    """A result with title and description as its file has them now, where that is what was measured."""
    if changed_keys(Experiment.model_validate_json(summary.spec_json), now):
        return summary
    return summary.model_copy(update={"title": now.title, "description": now.description})


def judged(found: Sequence[Chapter]) -> list[Chapter]:
    """The chapters with verdicts, corrected for all of a study, whichever chapter they are in.

    What is unavailable to one experiment is left out where another one of the same study has measured it. So is what
    rests on trainings that another result has too, with more seeds: counting them twice is no more evidence.
    """
    measured = {(one.study_key, finding.claim.text) for one in found for finding in one.findings if finding.test}
    kept = [replace(one, findings=tuple(_kept(one, measured))) for one in _without_repeats(found)]
    keys = dict.fromkeys(one.study_key for one in kept)
    decided = {key: iter(decide(_findings(kept, key))) for key in keys}
    return [replace(one, findings=tuple(next(decided[one.study_key]) for _ in one.findings)) for one in kept]


def _kept(one: Chapter, measured: Set[tuple[str, str]]) -> Iterator[Finding]:
    yield from (f for f in one.findings if f.sides or (one.study_key, f.claim.text) not in measured)


def _without_repeats(found: Sequence[Chapter]) -> list[Chapter]:
    repeats = [tuple(f for f in one.findings if _repeated(f, one, found)) for one in found]
    return [
        replace(one, findings=tuple(f for f in one.findings if f not in repeated), repeated=repeated)
        for one, repeated in zip(found, repeats, strict=True)
    ]


def _repeated(finding: Finding, own: Chapter, found: Sequence[Chapter]) -> bool:
    others = (one for one in found if one.name != own.name and one.study_key == own.study_key)
    return any(_repeats(finding, other) for one in others for other in one.findings)


def _repeats(finding: Finding, other: Finding) -> bool:
    """Whether the other one has all its figures, and those of more seeds, after as much training.

    Arms are named after their scale, so trainings are known by their figures.
    """
    if finding.seeds >= other.seeds or (finding.testable and not other.testable) or _work(finding) != _work(other):
        return False
    pairs = zip(finding.sides, other.sides, strict=True)
    return all(side.by_seed.items() <= more.by_seed.items() for side, more in pairs)


def _work(finding: Finding) -> tuple[str, str, int, list[int]]:
    return finding.claim.text, finding.mode, finding.images, [side.epochs for side in finding.sides]


def _findings(found: Iterable[Chapter], study: str) -> list[Finding]:
    return [finding for one in found if one.study_key == study for finding in one.findings]


def kept_experiments(folder: Path) -> dict[str, Experiment]:
    """What every result in a folder was measured with, by the name of its file."""
    paths = sorted(folder.glob("*.json"))
    found = {path.stem: parse_summary(path.read_bytes(), str(path)) for path in paths}
    return {name: Experiment.model_validate_json(summary.spec_json) for name, summary in found.items()}


def split_summaries(folder: Path, committed: Mapping[str, Experiment] = MappingProxyType({})) -> list[Summary]:
    """Results on two splits that repeat no study, in the order of their names; those that do have it in a chapter."""
    return [one for one in _summaries(folder, committed) if one.other_split and not study_of(one)]


def search_summaries(folder: Path, committed: Mapping[str, Experiment] = MappingProxyType({})) -> list[Summary]:
    """Results that searched, in the order of their names."""
    return [summary for summary in _summaries(folder, committed) if summary.search]


def _summaries(folder: Path, committed: Mapping[str, Experiment]) -> Iterator[Summary]:
    for path in sorted(folder.glob("*.json")):
        summary = parse_summary(path.read_bytes(), str(path))
        yield in_words_of(committed[path.stem], summary) if path.stem in committed else summary


SHARED = "Whoever measured says that the machine did other work meanwhile, which the trainings cannot see."
"""The note of a result whose times, or those of some of its arms, are not compared."""


def keep(path: Path, folder: Path, shared: bool = False, shared_arms: Collection[str] = ()) -> Path:
    """Copies a report's summary to the result files and returns its place.

    Args:
        shared: the machine did other work meanwhile that held none of Bakeoff's locks: every training is contended.
        shared_arms: the same of these arms' trainings alone, under their names in the experiment file.

    Raises:
        InvalidInputError: not a summary, one of an experiment that the page has no place for, or without such an arm.
    """
    summary = parse_summary(path.read_bytes(), str(path))
    if not (study_of(summary) or summary.search or summary.other_split):
        raise InvalidInputError(
            f"{path} is no study's: {summary.experiment} has no key study, searches nothing and has no other_split"
        )
    if shared or shared_arms:
        summary = _contended(summary, None if shared else frozenset(shared_arms), path)
    target = folder / f"{summary.experiment}.json"
    files.write_text(target, json.dumps(_slim(summary).model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")
    return target


def _contended(summary: Summary, arms: Set[str] | None, path: Path) -> Summary:
    """With all trainings marked, or those of some arms."""
    names = {training.arm: short_arm(training.arm, summary) for training in summary.trainings}
    if unknown := sorted((arms or set()) - {*names.values()}):
        raise InvalidInputError(f"{path} has no trainings of arm {unknown[0]}; it has: {', '.join(names.values())}")
    trainings = tuple(
        one.model_copy(update={"contended": one.contended or arms is None or names[one.arm] in arms})
        for one in summary.trainings
    )
    alone = {(one.arm, one.framework, one.seed): one for one in trainings if not one.contended}
    rows = tuple(
        one.model_copy(update={"training_contended": (one.arm, one.framework, one.seed) not in alone})
        for one in summary.rows
    )
    groups = tuple(
        one.model_copy(
            update={
                "training_seconds": spread(
                    [
                        sum(epoch.train_seconds for epoch in training.history)
                        for (arm, framework, _), training in alone.items()
                        if (arm, framework) == (one.arm, one.framework)
                    ]
                )
            }
        )
        for one in summary.groups
    )
    which = "" if arms is None else f" This is said of: {', '.join(sorted(arms))}."
    changes = {"trainings": trainings, "rows": rows, "groups": groups, "notes": (*summary.notes, SHARED + which)}
    return summary.model_copy(update=changes)


def _slim(summary: Summary) -> Summary:
    """Without curves, single images and local folders; what the page says is the same."""
    document = json.loads(summary.spec_json)
    source = document["data"]["source"]
    for key in ("path", "name"):
        if key in source and Path(source[key]).is_absolute():
            source[key] = Path(source[key]).name
    bare = [
        one.model_copy(update={"roc": None, "precision_recall": None, "losses": ()}) for one in summary.classifications
    ]
    data = summary.data and summary.data.model_copy(update={"source": _source(summary.data.source)})
    return summary.model_copy(
        update={
            "spec_json": json.dumps(document),
            "classifications": tuple(bare),
            "disagreements": (),
            "data": data,
            "rows": tuple(row.model_copy(update={"scores": None}) for row in summary.rows),
        }
    )


def _source(line: str) -> str:
    """`folder /home/me/asl` → `folder asl`."""
    return " ".join(Path(word).name if word.startswith("/") else word for word in line.split(" "))
