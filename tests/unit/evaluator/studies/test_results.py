"""The committed result files, and the page made from them."""

from pathlib import Path

import pytest

from evaluator.studies.chart import chart
from evaluator.studies.judge import NOT_TESTED
from evaluator.studies.page import Chapter, page
from evaluator.studies.results import chapters, split_summaries

DOCS = Path(__file__).parents[4] / "docs"
CHAPTERS = chapters(DOCS / "results")


def test_there_are_results_of_studies() -> None:
    assert CHAPTERS


@pytest.mark.parametrize("one", CHAPTERS, ids=lambda one: one.name)
def test_too_few_seeds_epochs_or_images_never_lead_to_a_verdict(one: Chapter) -> None:
    """Counted here from the trainings themselves, not by the code that writes the page."""
    images = sum(one.summary.data.counts["train"].values()) if one.summary.data else 0
    for finding in one.findings:
        if finding.claim.unavailable:
            assert finding.verdict == "not reproduced: weights unavailable"
            continue
        trainings = [
            [t for t in one.summary.trainings if (t.arm, t.framework) == (side.arm, side.side.framework)]
            for side in finding.sides
        ]
        seeds = min(len({t.seed for t in side}) for side in trainings)
        short = any(
            2 * len(training.history) < side.side.epochs
            for side, mine in zip(finding.sides, trainings, strict=True)
            for training in mine
        )
        if seeds < 3 or short or 2 * images < one.study.images:
            assert finding.verdict == NOT_TESTED, finding.claim.text


@pytest.mark.parametrize("one", CHAPTERS, ids=lambda one: one.name)
def test_no_result_names_a_folder_of_a_machine(one: Chapter) -> None:
    text = (DOCS / "results" / f"{one.name}.json").read_text()
    assert '"/' not in text
    assert " /" not in (one.summary.data.source if one.summary.data else "")


def test_the_page_and_its_pictures_are_what_the_results_give() -> None:
    assert (DOCS / "studies.md").read_text() == page(CHAPTERS, split_summaries(DOCS / "results")), "run make studies"
    for one in CHAPTERS:
        assert (DOCS / one.chart).read_text() == chart(one.summary, one.study), "run make studies"
