"""`python -m evaluator.studies`: writes docs/studies.md and its pictures from docs/results/*.json.

`python -m evaluator.studies keep SUMMARY.json …` first puts a report's summary.json among them, without what the page
does not need and without the names of this machine's folders.
"""

import argparse
from pathlib import Path

from core import files
from evaluator.studies.chart import chart
from evaluator.studies.page import page
from evaluator.studies.results import chapters, keep, split_summaries

DOCS = Path("docs")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m evaluator.studies", description=__doc__)
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder with results/ and studies.md")
    parser.add_argument("command", nargs="?", choices=("write", "keep"), default="write")
    parser.add_argument("summaries", nargs="*", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "keep":
        for path in arguments.summaries:
            print(keep(path, arguments.docs / "results"))
    write(arguments.docs)


def write(docs: Path) -> None:
    """Writes the page and one picture for each result file."""
    found = chapters(docs / "results")
    for one in found:
        files.write_text(docs / one.chart, chart(one.summary, one.study))
    files.write_text(docs / "studies.md", page(found, split_summaries(docs / "results")))


if __name__ == "__main__":
    main()
