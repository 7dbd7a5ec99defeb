"""`python -m tools.studies`: writes docs/studies.md and its pictures from docs/results/*.json.

`python -m tools.studies keep SUMMARY.json …` first puts a report's summary.json among them, without what the page
does not need and without the names of this machine's folders; with `--shared` where the machine did other work
meanwhile.

It is no part of the evaluator, because it also reads the experiment files: the page says which results are older than
their file.
"""

import argparse
from pathlib import Path

from core import files
from core.schemas.experiment import Experiment
from evaluator.studies.chart import chart
from evaluator.studies.gaps import PATH, gap_chart
from evaluator.studies.page import page
from evaluator.studies.results import chapters, keep, kept_experiments, search_summaries, split_summaries
from evaluator.studies.revision import changed_keys
from evaluator.studies.wall_time import bars
from evaluator.studies.waterfall import waterfall
from services.orchestrator.experiment_file import read_experiment

ROOT = Path(__file__).parents[1]
DOCS, EXPERIMENTS = ROOT / "docs", ROOT / "experiments"


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.studies", description=__doc__)
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder with results/ and studies.md")
    parser.add_argument("command", nargs="?", choices=("write", "keep"), default="write")
    parser.add_argument("summaries", nargs="*", type=Path)
    parser.add_argument("--shared", action="store_true", help="keep: compare no times, the machine did other work")
    arguments = parser.parse_intermixed_args()
    if arguments.command == "keep":
        for path in arguments.summaries:
            print(keep(path, arguments.docs / "results", arguments.shared))
    written = pages(arguments.docs)
    for path, text in written.items():
        files.write_text(path, text)
    for orphan in set(arguments.docs.glob("images/study-*.svg")) - written.keys():
        orphan.unlink()


def pages(docs: Path) -> dict[Path, str]:
    """The page, its picture, two for each result file, a waterfall for each that has an attribution: path to text."""
    results = docs / "results"
    now = committed_files(results)
    found = chapters(results, now)
    written = {docs / one.chart: chart(one.summary, one.study) for one in found}
    written |= {docs / one.wall_time: bars(one.summary) for one in found}
    written |= {docs / one.waterfall: waterfall(one.attribution) for one in found if one.attribution}
    changed = {name: changed_keys(kept, now[name]) for name, kept in kept_experiments(results).items()}
    return {
        **written,
        docs / PATH: gap_chart(found),
        docs / "studies.md": page(found, split_summaries(results, now), changed, search_summaries(results, now)),
    }


def committed_files(results: Path) -> dict[str, Experiment]:
    """The experiment file of every kept result as it is now, by the name of the result."""
    return {name: committed(kept) for name, kept in kept_experiments(results).items()}


def committed(kept: Experiment) -> Experiment:
    """The experiment file of a kept result as it is now, at the result's scale.

    Raises:
        NotFoundError, InvalidInputError: there is no such file, or none with that scale.
    """
    return read_experiment(EXPERIMENTS / f"{kept.name}.yaml", scale=kept.scale)


if __name__ == "__main__":
    main()
