"""A search as a chapter of the studies, on synthetic summaries: TEST DATA, no figure here was measured."""

from pathlib import Path

import pytest

from core.errors import InvalidInputError
from core.schemas.experiment import Experiment
from core.schemas.search import SearchOutcome, SearchPlan, Trial
from core.schemas.summary import parse_summary
from evaluator.studies.chapter import Chapter
from evaluator.studies.page import page
from evaluator.studies.results import SHARED, keep, search_summaries
from evaluator.studies.revision import Revision
from tests.unit.evaluator.claims.test_judge import study, summary

WHOLE = summary(study(), {"keras": (0.5, 0.6, 0.7), "pytorch": (0.5, 0.6, 0.7)})
FROZEN = Experiment.model_validate_json(WHOLE.spec_json).model_copy(update={"study": None})
PLAIN = WHOLE.model_copy(update={"spec_json": FROZEN.model_dump_json()})
PLAN = SearchPlan.model_validate(
    {"arm": "net", "framework": "keras", "method": "grid", "space": {"recipe.batch_size": [32, 64]}}
)
TRIALS = tuple(
    Trial(
        number=number,
        arm=f"net-t{number}",
        state="complete",
        parameters={"recipe.batch_size": size},
        epochs=3,
        value=value,
    )
    for number, size, value in ((1, 32, 0.5), (2, 64, 0.75))
)
SEARCHED = PLAIN.model_copy(update={"search": SearchOutcome(plan=PLAN, trials=TRIALS, best=2)})


def test_a_search_is_kept_and_shown_with_every_trial(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_text(SEARCHED.model_dump_json())
    folder = tmp_path / "results"
    folder.mkdir()
    keep(path, folder)
    (found,) = search_summaries(folder)
    text = page([], searched=[found])
    assert "2 trials of arm net in Keras by grid: 2 complete. Best: trial 2 with 75.00%" in text
    assert "| 2 | complete | 64 | 3 | 75.00% |" in text
    assert "revision" not in text


@pytest.mark.parametrize("shared", [False, True])
def test_a_result_may_be_kept_as_one_whose_times_do_not_compare(shared: bool, tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_text(SEARCHED.model_dump_json())
    found = parse_summary(keep(path, tmp_path, shared).read_bytes(), "kept")
    assert {one.contended for one in found.trainings} == {shared}
    assert {one.training_contended for one in found.rows} == {shared}
    assert {one.training_seconds is None for one in found.groups} == {shared}
    assert (SHARED in found.notes) == shared


def test_the_times_of_some_arms_alone_may_be_kept_as_shared(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    other = tuple(one.model_copy(update={"arm": "other"}) for one in SEARCHED.trainings)
    path.write_text(SEARCHED.model_copy(update={"trainings": (*SEARCHED.trainings, *other)}).model_dump_json())
    found = parse_summary(keep(path, tmp_path, shared_arms=["other"]).read_bytes(), "kept")
    assert {one.arm for one in found.trainings if one.contended} == {"other"}
    assert found.notes[-1] == f"{SHARED} This is said of: other."
    with pytest.raises(InvalidInputError, match=r"no trainings of arm weighted; it has: .*other"):
        keep(path, tmp_path, shared_arms=["weighted"])


def test_a_search_whose_file_changed_since_says_so() -> None:
    revision = Revision("test-digits", "full", ("search",))
    told = page([], (), {SEARCHED.experiment: revision}, [SEARCHED])
    assert "differs from `test-digits.yaml` in `search`" in told


def test_a_search_says_how_far_its_best_trial_may_be_trusted() -> None:
    assert SEARCHED.search
    tied = SEARCHED.search.trials[1].model_copy(update={"number": 3})
    folds = SEARCHED.search.plan.model_copy(update={"folds": 3})
    found = SEARCHED.search.model_copy(update={"trials": (*TRIALS, tied), "plan": folds})
    summary_ = SEARCHED.model_copy(update={"search": found, "notes": ("Read this.",), "missing": ("trial 4: lost",)})
    told = page([], searched=[summary_])
    data = summary_.data
    assert data
    assert f"{data.images('validation'):,} validation images in each of 3 folds" in told
    assert "Chance level is 10" in told
    assert "2 trials tie for it: 2 and 3. One seed each: no ranking" in told
    assert "Epochs are those of all 3 folds" in told
    assert "Its test accuracy is " in told
    assert "> Read this." in told
    assert "**Incomplete:** trial 4: lost" in told
    assert told.index("<details><summary>All 3 trials") < told.index("| 2 | complete | 64 |")


def test_images_of_a_search_are_said_beside_the_studys_where_a_result_is_on_the_same_ones() -> None:
    whole = summary(study(), {"keras": (0.5, 0.6, 0.7), "pytorch": (0.5, 0.6, 0.7)})
    one = Chapter("test", whole, study(), ())
    assert "1,440 of the study's 1,440 training images" in page([one], searched=[SEARCHED])
    assert "1,440 training images" in page([], searched=[SEARCHED])


def test_what_neither_repeats_a_study_nor_searches_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_text(PLAIN.model_dump_json())
    with pytest.raises(InvalidInputError, match="no key study, searches nothing and has no other_split"):
        keep(path, tmp_path)
