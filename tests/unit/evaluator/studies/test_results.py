"""The committed result files, and the page made from them."""

from pathlib import Path

import pytest

from core.schemas.experiment import Experiment
from evaluator.studies.chapter import Chapter
from evaluator.studies.judge import NOT_TESTED
from evaluator.studies.overview import best_evidence
from evaluator.studies.results import chapters, in_words_of, kept_experiments
from evaluator.studies.revision import changed_keys, study_now
from tools.studies import committed, committed_files, pages

DOCS = Path(__file__).parents[4] / "docs"
CHAPTERS = chapters(DOCS / "results", committed_files(DOCS / "results"))


def told(name: str) -> str:
    """What the page says of one result."""
    _, _, rest = (DOCS / "studies.md").read_text().partition(f'<a id="{name}"></a>')
    return rest.partition("\n<a id")[0]


def test_there_are_results_of_studies() -> None:
    assert CHAPTERS


@pytest.mark.parametrize("one", CHAPTERS, ids=lambda one: one.name)
def test_too_few_seeds_epochs_or_images_never_lead_to_a_verdict(one: Chapter) -> None:
    """Counted here from the trainings themselves, not by the code that writes the page."""
    images = sum(one.summary.data.counts["train"].values()) if one.summary.data else 0
    for finding in one.findings:
        if finding.claim.unavailable:
            why = ": weights unavailable" if finding.claim.unavailable == "weights unavailable" else ""
            assert finding.verdict == f"not reproduced{why}"
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


def test_the_overview_has_one_row_for_each_study_claim_and_mode() -> None:
    found = {(one.study_key, f.claim.text, f.mode) for one in CHAPTERS for f in one.findings}
    assert len(best_evidence(CHAPTERS)) == len(found)
    overview, _, _ = (DOCS / "studies.md").read_text().partition("\n<a id")
    rows = [line.strip("| ").split(" | ") for line in overview.splitlines() if line.startswith("| [")]
    assert len(rows) == len(found)
    for row in rows:
        images, epochs, seeds, interval, verdict = row[3:]
        assert verdict.startswith("not reproduced") or (images != "0" and epochs != "0" and seeds != "0"), row
        assert verdict.startswith(("not tested", "not reproduced")) or " to " in interval, row


def test_every_picture_of_a_study_is_shown_on_the_page() -> None:
    page = (DOCS / "studies.md").read_text()
    assert [path.name for path in DOCS.glob("images/study-*.svg") if f"(images/{path.name})" not in page] == []


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
def test_every_result_is_of_its_experiment_file_or_said_to_be_older(name: str) -> None:
    kept = KEPT[name]
    note = f"**Measured with an earlier revision of this file:** `{kept.name}.yaml`"
    assert told(name)
    assert (note in told(name)) == bool(changed_keys(kept, committed(kept)))


def test_what_a_machine_says_for_itself_makes_no_other_revision() -> None:
    now = committed(KEPT["s2-mnist"])
    elsewhere = now.data.model_copy(update={"source": now.data.source.model_copy(update={"name": "/here/mnist"})})
    assert changed_keys(now.model_copy(update={"data": elsewhere}), now) == ()
    limited = now.data.model_copy(update={"limit": 5})
    assert changed_keys(now.model_copy(update={"data": limited, "seeds": (0,)}), now) == ("data", "seeds")


def test_claims_are_those_of_the_file_now_as_long_as_it_is_what_was_measured() -> None:
    now = committed(KEPT["s2-mnist"])
    assert now.study
    kept = now.model_copy(update={"study": now.study.model_copy(update={"title": "As it was"})})
    assert changed_keys(kept, now) == ()
    assert study_now(kept, now) == now.study
    other = kept.model_copy(update={"seeds": (0,)})
    assert study_now(other, now) == kept.study


def test_words_are_those_of_the_file_now_as_long_as_it_is_what_was_measured() -> None:
    (one,) = (chapter.summary for chapter in CHAPTERS if chapter.name == "s2-mnist")
    now = committed(KEPT["s2-mnist"]).model_copy(update={"title": "In other words"})
    assert in_words_of(now, one).title == "In other words"
    assert in_words_of(now.model_copy(update={"seeds": (0,)}), one) == one


def test_a_digest_of_weights_is_filled_in_by_a_run_and_makes_no_other_revision() -> None:
    document = KEPT["s2-mnist"].model_dump()
    document["study"] = None
    document["arms"]["cnn-matched"]["recipe"]["pretrained"] = {"weights": "imagenet", "head": "replace"}
    written = Experiment.model_validate(document)
    document["arms"]["cnn-matched"]["recipe"]["pretrained"]["sha256"] = "0" * 64
    assert changed_keys(Experiment.model_validate(document), written) == ()
