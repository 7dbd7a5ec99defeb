"""Writes the report of an experiment: HTML, Markdown, CSV, a card for each model and the summary as JSON."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from core import files
from core.prepared import Split
from core.schemas.specs import ReportSpec
from core.schemas.summary import Summary
from evaluator.provenance import Result
from evaluator.report.augmented import Augmented, augmented
from evaluator.report.cards import cards
from evaluator.report.csvfile import to_csv
from evaluator.report.html import render
from evaluator.report.markdown import to_markdown
from evaluator.report.samples import Pictures, Sample, pictures_of
from evaluator.rows import Probabilities
from evaluator.summary import summarise


def write(
    spec: ReportSpec,
    results: Sequence[Result],
    probabilities: Probabilities,
    test: Split,
    samples: Sequence[Sample],
    directory: Path,
    grids: Mapping[str, bytes] | None = None,
    others: Sequence[Result] = (),
) -> Summary:
    """Summarises results and writes report.html, report.md, report.csv, cards/ and, last, summary.json, each by rename.

    Args:
        spec: what is reported; its `missing` lines mark the report incomplete.
        results: parsed result documents, in the order of the experiment.
        probabilities: float32 [n, classes] by run id of the evaluation.
        test: the test split; its images are read one by one, those that are shown.
        samples: small pictures of the data, or none.
        directory: where the files go; created.
        grids: PNG pictures of augmented samples by run id of the training.
        others: results of the same arms on another split.
    """
    summary = summarise(spec, results, probabilities, test.labels, others)
    shown = augmented(summary.trainings, grids or {})
    write_summary(summary, samples, pictures_of(summary, test), directory, shown)
    return summary


def write_summary(
    summary: Summary,
    samples: Sequence[Sample],
    pictures: Pictures,
    directory: Path,
    shown: Sequence[Augmented] = (),
) -> None:
    """Writes the files of an existing summary."""
    found = cards(summary)
    files.write_text(directory / "report.html", render(summary, samples, pictures, found, shown))
    files.write_text(directory / "report.md", to_markdown(summary))
    files.write_text(directory / "report.csv", to_csv(summary))
    for name, card in found.items():
        files.write_text(directory / "cards" / name, card)
    files.write_json(directory / "summary.json", summary)
