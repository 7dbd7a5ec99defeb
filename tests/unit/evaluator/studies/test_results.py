"""The committed result files, and the page made from them."""

import re
from pathlib import Path
from typing import get_args

import pytest

from core.schemas.experiment import Experiment
from core.schemas.summary import TRAINING, Training
from evaluator.claims.judge import Finding, Measured
from evaluator.claims.verdicts import MEANINGS, NOT_TESTED, TIMES_DIFFER, UNTESTED, Verdict
from evaluator.studies.chapter import Chapter
from evaluator.studies.defaults import shifts
from evaluator.studies.overview import best_evidence
from evaluator.studies.results import chapters, in_words_of, kept_experiments
from evaluator.studies.revision import changed_keys, revision, study_now
from tools.studies import committed, committed_files, pages

DOCS = Path(__file__).parents[4] / "docs"
CHAPTERS = chapters(DOCS / "results", committed_files(DOCS / "results"))

SHIFTS = {
    key: shifts([one.findings for one in CHAPTERS if one.study_key == key])
    for key in {one.study_key for one in CHAPTERS}
}
PAGE = (DOCS / "studies.md").read_text()


def told(name: str) -> str:
    """What the page says of one result."""
    _, _, rest = PAGE.partition(f'<a id="{name}"></a>')
    return rest.partition("\n<a id")[0]


def trainings(one: Chapter, side: Measured) -> list[Training]:
    return [t for t in one.summary.trainings if (t.arm, t.framework) == (side.arm, side.side.framework)]


def scored_seeds(one: Chapter, side: Measured) -> set[int]:
    """Seeds with the figure that a side is about: of what was scored, or of the trainings themselves."""
    if side.measure in ("accuracy", "recall"):
        rows = (row for row in one.summary.rows if row.format == "onnx" and not row.variant)
        return {
            row.seed
            for row in rows
            if (row.arm, row.framework) == (side.arm, side.side.framework) and row.accuracy is not None
        }
    return {training.seed for training in trainings(one, side) if training.history}


def test_there_are_results_of_studies() -> None:
    assert CHAPTERS


@pytest.mark.parametrize("one", CHAPTERS, ids=lambda one: one.name)
def test_too_few_seeds_epochs_or_images_never_lead_to_a_verdict(one: Chapter) -> None:
    """Counted here from the trainings and scores themselves, not by the code that writes the page."""
    images = sum(one.summary.data.counts["train"].values()) if one.summary.data else 0
    for finding in one.findings:
        if finding.claim.unavailable:
            weights = finding.claim.unavailable == "weights unavailable"
            assert finding.verdict == ("not reproduced: weights unavailable" if weights else "not measured")
            continue
        if too_small(one, finding, images):
            assert finding.verdict == NOT_TESTED, finding.claim.text


def too_small(one: Chapter, finding: Finding, images: int) -> bool:
    common = set.intersection(*(scored_seeds(one, side) for side in finding.sides))
    share = [len(training.history) / side.side.epochs for side in finding.sides for training in trainings(one, side)]
    last = len(finding.sides) == 1 and finding.sides[0].measure in ("train_accuracy", "validation_accuracy")
    return len(common) < 3 or min(share, default=0) < (1 if last else 0.5) or 2 * images < one.study.images


@pytest.mark.parametrize("one", CHAPTERS, ids=lambda one: one.name)
def test_times_that_do_not_compare_never_lead_to_a_verdict(one: Chapter) -> None:
    """Contended, of unequal shares of the study's epochs, or of torch before freed memory was kept."""
    places = [place for place in one.summary.places if any(role.endswith(TRAINING) for role in place.roles)]
    kept = all("MALLOC_MMAP_MAX_" in place.environment.variables for place in places)
    for finding in (finding for finding in one.findings if finding.claim.is_about_time and finding.sides):
        own = [(side, training) for side in finding.sides for training in trainings(one, side)]
        shares = {len(training.history) / side.side.epochs for side, training in own}
        torch = any(side.side.framework in ("pytorch", "fastai") for side in finding.sides)
        if any(training.contended for _, training in own) or len(shares) > 1 or (torch and not kept):
            assert finding.verdict in (NOT_TESTED, TIMES_DIFFER), finding.claim.text


def test_framework_or_defaults_is_told_of_tested_pairs_only_and_each_is_told_once() -> None:
    lines = [line for line in PAGE.splitlines() if "Measured over " in line and "own defaults ([" in line]
    pairs = []
    for line in lines:
        own, equal = re.findall(r"\(\[([a-z0-9-]+)\]\(#\1\)\)", line)
        pairs.append((with_verdict(own, "idiomatic", line), with_verdict(equal, "matched", line)))
        assert (pairs[-1][0].images, pairs[-1][0].epochs) == (pairs[-1][1].images, pairs[-1][1].epochs)
    assert len(set(lines)) == len(lines) == len([shift for found in SHIFTS.values() for shift in found]) > 0


def with_verdict(name: str, mode: str, line: str) -> Finding:
    """The finding of a result that a line of the page is about, which has to have a verdict."""
    (one,) = (one for one in CHAPTERS if one.name == name)
    (found,) = (f for f in one.findings if f.mode == mode and line.startswith(f"- {f.claim.text}"))
    assert found.claim.alike
    assert found.verdict not in UNTESTED
    return found


ATTRIBUTED = [one for one in CHAPTERS if one.summary.attribution]


@pytest.mark.parametrize("one", ATTRIBUTED, ids=lambda one: one.name)
def test_too_few_seeds_epochs_or_images_never_lead_to_shares_of_a_default(one: Chapter) -> None:
    images = sum(one.summary.data.counts["train"].values()) if one.summary.data else 0
    seeds = min(len({t.seed for t in one.summary.trainings if t.arm == arm.name}) for arm in one.summary.arms)
    most = max(side.epochs for claim in one.study.claims for side in claim.sides)
    short = any(2 * len(training.history) < most for training in one.summary.trainings)
    if seeds >= 3 and not short and 2 * images >= one.study.images:
        pytest.skip("large enough to be tested")
    assert "**Which default makes the difference.** **Not tested at this scale: " in told(one.name)
    for words in (told(one.name), (DOCS / one.waterfall).read_text()):
        assert "from none" not in words


def test_the_overview_has_one_row_for_each_claim_and_a_cell_for_each_mode() -> None:
    found = {(one.study_key, f.claim.text, f.mode) for one in CHAPTERS for f in one.findings}
    assert len(best_evidence(CHAPTERS)) == len(found)
    _, _, overview = PAGE.partition("\n## Every claim\n")
    rows = [line.strip("| ").split(" | ") for line in overview.partition("\n<a id")[0].splitlines()[5:]]
    rows = [row for row in rows if row[0].startswith("[S")]
    assert len(rows) == len({(key, claim) for key, claim, _ in found})
    cells = [cell for row in rows for cell in row[2:] if cell != "–"]
    assert len(cells) == len(found)
    for cell in cells:
        check_cell(cell)


def check_cell(cell: str) -> None:
    """Images, epochs, seeds and interval beside every verdict; of what was not measured the words alone."""
    verdict, *behind = cell.split("<br>")
    if behind:
        difference, work = behind
        images, epochs, seeds = re.fullmatch(r"([\d,]+) images · (.+) epochs · (\d+) seeds?(?: · .*)?", work).groups()  # type: ignore[union-attr]
        assert images != "0"
        assert " of " in epochs
        assert int(seeds) >= 3 or NOT_TESTED in verdict or TIMES_DIFFER in verdict
        assert " to " in difference or NOT_TESTED in verdict
    else:
        assert verdict.startswith(("[not measured]", "[not reproduced: weights unavailable]"))


def test_every_word_that_a_verdict_may_have_is_explained_once() -> None:
    told = [verdict for verdicts, _ in MEANINGS for verdict in verdicts]
    assert len(told) == len(set(told))
    assert {finding.verdict for one in CHAPTERS for finding in one.findings} <= {*told}
    assert set(get_args(Verdict)) == {*told}
    for verdict in told:
        assert f"*{verdict}*" in PAGE.partition("\n## Every claim\n")[0]


def test_no_anchor_is_folded_away() -> None:
    depth = 0
    for line in PAGE.splitlines():
        depth += line.startswith("<details>") - line.startswith("</details>")
        assert not (depth and "<a id=" in line), line
    assert depth == 0


def test_the_page_gives_every_study_an_answer() -> None:
    answers, _, _ = PAGE.partition("\n## How to read the rest\n")
    assert re.findall(r"^\| \[(S\d)\]", answers, re.M) == ["S1", "S2", "S3", "S4", "S5"]


def test_every_picture_of_a_study_is_shown_on_the_page() -> None:
    assert [path.name for path in DOCS.glob("images/study-*.svg") if f"(images/{path.name})" not in PAGE] == []


@pytest.mark.parametrize("one", CHAPTERS, ids=lambda one: one.name)
def test_no_result_names_a_folder_of_a_machine(one: Chapter) -> None:
    text = (DOCS / "results" / f"{one.name}.json").read_text()
    assert '"/' not in text
    assert " /" not in (one.summary.data.source if one.summary.data else "")


def test_the_page_and_its_pictures_are_what_the_results_give() -> None:
    for path, text in pages(DOCS).items():
        assert path.read_text() == text, "run make studies"


KEPT = kept_experiments(DOCS / "results")


@pytest.mark.parametrize("name", KEPT)
def test_every_result_is_of_its_experiment_file_or_said_not_to_be(name: str) -> None:
    found = revision(KEPT[name], committed(KEPT[name]))
    assert told(name)
    notes = [line for line in told(name).splitlines() if line.startswith(("> **An earlier", "> **Not in experiments/"))]
    assert notes == ([found.note] if found else [])


def file_of(name: str) -> Experiment:
    found = committed(KEPT[name])
    assert found
    return found


def test_what_a_machine_says_for_itself_makes_no_other_revision() -> None:
    now = file_of("s2-mnist")
    elsewhere = now.data.model_copy(update={"source": now.data.source.model_copy(update={"name": "/here/mnist"})})
    assert changed_keys(now.model_copy(update={"data": elsewhere}), now) == ()
    limited = now.data.model_copy(update={"limit": 5})
    assert changed_keys(now.model_copy(update={"data": limited, "seeds": (0,)}), now) == ("data", "seeds")


def test_claims_are_those_of_the_file_now_as_long_as_it_is_what_was_measured() -> None:
    now = file_of("s2-mnist")
    assert now.study
    kept = now.model_copy(update={"study": now.study.model_copy(update={"title": "As it was"})})
    assert changed_keys(kept, now) == ()
    assert study_now(kept, now) == now.study
    other = kept.model_copy(update={"seeds": (0,)})
    assert study_now(other, now) == kept.study


def test_words_are_those_of_the_file_now_as_long_as_it_is_what_was_measured() -> None:
    (one,) = (chapter.summary for chapter in CHAPTERS if chapter.name == "s2-mnist")
    now = file_of("s2-mnist").model_copy(update={"title": "In other words"})
    assert in_words_of(now, one).title == "In other words"
    assert in_words_of(now.model_copy(update={"seeds": (0,)}), one) == one


def test_a_digest_of_weights_is_filled_in_by_a_run_and_makes_no_other_revision() -> None:
    document = KEPT["s2-mnist"].model_dump()
    document["study"] = None
    document["arms"]["cnn-matched"]["recipe"]["pretrained"] = {"weights": "imagenet", "head": "replace"}
    written = Experiment.model_validate(document)
    document["arms"]["cnn-matched"]["recipe"]["pretrained"]["sha256"] = "0" * 64
    assert changed_keys(Experiment.model_validate(document), written) == ()
