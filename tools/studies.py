"""`python -m tools.studies`: writes docs/studies.md and its pictures from docs/results/*.json.

`python -m tools.studies keep SUMMARY.json …` first puts a report's summary.json among them, without what the page
does not need and without the names of this machine's folders; with `--shared` where the machine did other work
meanwhile. With `--docs DIR` all that is in another folder, for results of one's own. Nothing is written unless the page
can be made.

It is no part of the evaluator, because it also reads the experiment files: the page says which results are not what
their file says, and which studies have none.
"""

import argparse
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from core import files
from core.errors import BakeoffError, InvalidInputError
from core.schemas.experiment import Experiment
from evaluator.studies.chart import chart
from evaluator.studies.gaps import PATH, gap_chart
from evaluator.studies.page import page
from evaluator.studies.results import chapters, keep, kept_experiments, search_summaries, split_summaries
from evaluator.studies.revision import Revision, revision
from evaluator.studies.wall_time import bars
from evaluator.studies.waterfall import waterfall
from services.orchestrator.experiment_file import read_experiment

ROOT = Path(__file__).parents[1]
DOCS, EXPERIMENTS = ROOT / "docs", ROOT / "experiments"
RESULTS = "results"


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.studies", description=__doc__)
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder with results/ and studies.md")
    parser.add_argument("command", nargs="?", choices=("write", "keep"), default="write")
    parser.add_argument("summaries", nargs="*", type=Path)
    parser.add_argument("--shared", action="store_true", help="keep: compare no times, the machine did other work")
    parser.add_argument("--shared-arm", action="append", default=[], metavar="ARM", help="the same of one arm's times")
    given = parser.parse_intermixed_args()
    summaries = given.summaries if given.command == "keep" else ()
    try:
        kept = write(given.docs, summaries, given.shared, given.shared_arm)
    except BakeoffError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    for path in kept:
        print(path)


def write(
    docs: Path, summaries: Sequence[Path] = (), shared: bool = False, shared_arms: Sequence[str] = ()
) -> list[Path]:
    """Keeps summaries, if any, and writes page and pictures anew; returns the places of what was kept.

    All of it is made before any of it is written: a summary that cannot be kept, or that no page can be made with,
    leaves everything as it was.
    """
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder)
        if (docs / RESULTS).is_dir():
            shutil.copytree(docs / RESULTS, draft / RESULTS)
        kept = [keep(path, draft / RESULTS, shared, shared_arms) for path in summaries]
        written = {docs / path.relative_to(draft): _linked(text, docs) for path, text in pages(draft).items()}
        for path in kept:
            files.write_text(docs / RESULTS / path.name, path.read_text())
    for path, text in written.items():
        files.write_text(path, text)
    for orphan in set(docs.glob("images/study-*.svg")) - written.keys():
        orphan.unlink()
    return [docs / RESULTS / path.name for path in kept]


def _linked(text: str, docs: Path) -> str:
    """Its links to other pages of these docs, as they are from another folder."""
    place = os.path.relpath(DOCS, docs)
    return text if place == "." else re.sub(r"\]\((?=[a-z-]+\.md)", f"]({place}/", text)


def pages(docs: Path) -> dict[Path, str]:
    """The page, its picture, two for each result file, a waterfall for each that has an attribution: path to text."""
    results = docs / RESULTS
    now = committed_files(results)
    found = chapters(results, now)
    written = {docs / one.chart: chart(one.summary, one.study) for one in found}
    written |= {docs / one.wall_time: bars(one.summary) for one in found}
    written |= {docs / one.waterfall: waterfall(one.attribution) for one in found if one.attribution}
    text = page(
        found,
        split_summaries(results, now),
        dict(_revisions(results, now)),
        search_summaries(results, now),
        list(_without_result(results)),
    )
    return {**written, docs / PATH: gap_chart(found), docs / "studies.md": text}


def _revisions(results: Path, now: dict[str, Experiment]) -> Iterator[tuple[str, Revision]]:
    for name, kept in kept_experiments(results).items():
        if found := revision(kept, now.get(name)):
            yield name, found


def _without_result(results: Path) -> Iterator[Experiment]:
    """The experiments here that repeat a study and of which no result is kept."""
    kept = {one.name for one in kept_experiments(results).values()}
    for path in sorted(EXPERIMENTS.glob("*.yaml")):
        experiment = read_experiment(path)
        if experiment.study and experiment.name not in kept:
            yield experiment


def committed_files(results: Path) -> dict[str, Experiment]:
    """The experiment file of every kept result as it is now, by the name of the result; none of one without a file."""
    found = {name: committed(kept) for name, kept in kept_experiments(results).items()}
    return {name: experiment for name, experiment in found.items() if experiment}


def committed(kept: Experiment) -> Experiment | None:
    """The experiment file of a kept result as it is now, at the result's scale; None where there is no such file, as
    of a renamed experiment, or no such scale in it.

    Raises:
        InvalidInputError: the file cannot be read at any scale.
    """
    path = EXPERIMENTS / f"{kept.name}.yaml"
    if not path.is_file():
        return None
    try:
        return read_experiment(path, scale=kept.scale)
    except InvalidInputError:
        read_experiment(path)
        return None


if __name__ == "__main__":
    main()
