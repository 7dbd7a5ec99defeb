"""Writes the report of an experiment: HTML, Markdown, CSV and the summary as JSON."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core import files
from core.schemas.specs import ReportSpec
from core.schemas.summary import Summary
from evaluator.provenance import Result
from evaluator.report.csvfile import to_csv
from evaluator.report.html import render
from evaluator.report.markdown import to_markdown
from evaluator.report.samples import Sample
from evaluator.rows import Probabilities
from evaluator.summary import summarise


def write(
    spec: ReportSpec,
    results: Sequence[Result],
    probabilities: Probabilities,
    labels: NDArray[np.int64],
    samples: Sequence[Sample],
    directory: Path,
) -> Summary:
    """Summarises results and writes report.html, report.md, report.csv and, last, summary.json, each by rename.

    Args:
        spec: what is reported; its `missing` lines mark the report incomplete.
        results: parsed result documents, in the order of the experiment.
        probabilities: float32 [n, classes] by run id of the evaluation.
        labels: int64 [n], true classes of the test split.
        samples: small pictures of the data, or none.
        directory: where the files go; created.
    """
    summary = summarise(spec, results, probabilities, labels)
    write_summary(summary, samples, directory)
    return summary


def write_summary(summary: Summary, samples: Sequence[Sample], directory: Path) -> None:
    """Writes the files of an existing summary."""
    files.write_text(directory / "report.html", render(summary, samples))
    files.write_text(directory / "report.md", to_markdown(summary))
    files.write_text(directory / "report.csv", to_csv(summary))
    files.write_json(directory / "summary.json", summary)
