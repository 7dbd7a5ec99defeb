"""Several results of one study, on synthetic summaries: TEST DATA, no figure here was measured."""

from dataclasses import replace

import pytest

from core.schemas.attribution import AttributionPlan
from core.schemas.experiment import Experiment
from core.schemas.study import Claim, Side, Study
from evaluator.claims.judge import Finding, measure
from evaluator.claims.verdicts import NOT_TESTED
from evaluator.studies.chapter import Chapter
from evaluator.studies.chart import chart
from evaluator.studies.overview import best_evidence
from evaluator.studies.page import page
from evaluator.studies.result import ELSEWHERE, switched
from evaluator.studies.results import judged
from evaluator.studies.revision import Revision
from evaluator.studies.wall_time import bars
from tests.unit.evaluator.claims.test_judge import claim, study, summary
from tests.unit.evaluator.studies.test_same_images import compared, row

CLEAR = {"keras": [0.980, 0.981, 0.982, 0.983], "pytorch": [0.970, 0.9712, 0.9721, 0.9729]}

MISSING = Claim(
    text=claim().text,
    first=Side(framework="fastai", epochs=10, published=0.9998),
    unavailable="weights unavailable",
)
"""What one experiment cannot measure, in the words in which another one measures it."""


def chapter(
    name: str,
    of: Study | None = None,
    experiment: str = "",
    key: str | None = None,
    seeds: tuple[int, ...] = (0, 1, 2),
) -> Chapter:
    of = (of or study()).model_copy(update={"key": key})
    whole = summary(of, {framework: values[: len(seeds)] for framework, values in CLEAR.items()}, seeds=seeds)
    if experiment:
        frozen = Experiment.model_validate_json(whole.spec_json).model_copy(update={"name": experiment})
        whole = whole.model_copy(update={"spec_json": frozen.model_dump_json()})
    return Chapter(name, whole, of, tuple(measure(whole, of)))


def adjusted(one: Chapter) -> float:
    test = one.findings[0].test
    assert test is not None
    assert test.p_adjusted is not None
    return test.p_adjusted


def verdicts(one: Chapter) -> list[str]:
    return [finding.verdict for finding in one.findings]


@pytest.mark.parametrize(("ours", "theirs"), [("one", "other"), (None, "other"), ("one", None)])
def test_p_values_are_corrected_for_all_results_of_one_study_only(ours: str | None, theirs: str | None) -> None:
    (alone,) = judged([chapter("a")])
    files = [chapter("a", key=ours), chapter("b", key=ours), chapter("c", experiment="another", key=theirs)]
    first, second, other = judged(files)
    assert adjusted(first) == adjusted(second) == pytest.approx(2 * adjusted(alone))
    assert adjusted(other) == adjusted(alone)


def test_experiments_with_one_key_are_one_study() -> None:
    """As S1's two files: one Holm family, and one row of the overview for each claim and mode."""
    (alone,) = judged([chapter("a")])
    found = judged([chapter("a", key="s1"), chapter("b", experiment="pretrained", key="s1")])
    assert [adjusted(one) for one in found] == [pytest.approx(2 * adjusted(alone))] * 2
    assert len(best_evidence(found)) == 2
    assert len(best_evidence(judged([chapter("a"), chapter("b", experiment="pretrained")]))) == 4


def test_without_a_key_the_beginning_of_the_experiments_name_is_the_study() -> None:
    """Results from before there was a key stay with those that have one."""
    assert chapter("a").study_key == "test", "of test-digits"
    assert chapter("a", experiment="s1-asl-pretrained").study_key == "s1"
    old, new = judged([chapter("a", experiment="s1-asl"), chapter("b", experiment="s1-asl", key="s1")])
    assert adjusted(old) == adjusted(new) == pytest.approx(2 * adjusted(judged([chapter("a")])[0]))


def test_the_overview_shows_each_claim_and_mode_once_with_the_best_evidence() -> None:
    found = [chapter("one-seed", seeds=(0,)), chapter("two-seeds", seeds=(0, 1))]
    assert {(one.name, finding.verdict) for one, finding in best_evidence(found)} == {("two-seeds", NOT_TESTED)}
    # A verdict counts for more than any amount of work without one.
    large = study(images=10**6)
    found = judged([chapter("three-seeds"), chapter("many-seeds-few-images", of=large)])
    assert [one.name for one, _ in best_evidence(found)] == ["three-seeds", "three-seeds"]
    overview, _, _ = page(found).partition("\n<a id")
    (row,) = (line for line in overview.splitlines() if line.startswith("| [TEST](#test) | Keras is better. |"))
    assert row.count("(#three-seeds)") == 2, "both modes in one row"
    assert "many-seeds" not in overview


def test_what_one_experiment_could_not_measure_is_left_out_where_another_of_the_study_did() -> None:
    without = chapter("without", of=study(MISSING), key="s1")
    (alone,) = judged([without])
    assert verdicts(alone) == ["not reproduced: weights unavailable"]
    found = judged([without, chapter("with", experiment="pretrained", key="s1")])
    assert [verdicts(one) for one in found] == [[], ["holds", "holds"]]
    _, _, first = page(found).partition('<a id="without"></a>')
    assert first.partition("<a id")[0].count(ELSEWHERE) == 1, "a chapter without rows says where they are"


def test_another_study_with_the_same_words_takes_no_row_away() -> None:
    found = judged([chapter("without", of=study(MISSING)), chapter("with", experiment="another")])
    assert [verdicts(one) for one in found] == [["not reproduced: weights unavailable"], ["holds", "holds"]]


def test_an_experiment_that_trained_nothing_takes_no_row_away() -> None:
    failed = chapter("failed", experiment="pretrained", key="s1")
    nothing = failed.summary.model_copy(update={"groups": (), "trainings": ()})
    failed = Chapter("failed", nothing, failed.study, tuple(measure(nothing, failed.study)))
    first, second = judged([chapter("without", of=study(MISSING), key="s1"), failed])
    assert verdicts(first) == ["not reproduced: weights unavailable"]
    # And its part of the page can be made.
    assert ELSEWHERE in page([first, replace(second, findings=())])
    assert chart(nothing, failed.study)
    assert bars(nothing)


def test_trainings_that_two_results_share_count_once() -> None:
    """As an attribution over the first seeds of a result: the same figures of fewer seeds are no further evidence."""
    (alone,) = judged([chapter("more", key="s1")])
    fewer, more = judged([chapter("fewer", key="s1", seeds=(0, 1)), chapter("more", key="s1")])
    assert fewer.findings == ()
    assert adjusted(more) == adjusted(alone)
    assert ELSEWHERE in page([fewer, more])
    other, _ = judged([chapter("fewer", key="s2", seeds=(0, 1)), chapter("more", key="s1")])
    assert len(other.findings) == 2


def test_what_is_another_results_finding_is_still_compared_on_the_same_images_where_those_were_kept() -> None:
    few = chapter("few", key="s1", seeds=(0, 1, 2))
    kept = compared(few.summary, row(few.summary, "keras"), row(few.summary, "pytorch"))
    more = chapter("more", key="s1", seeds=(0, 1, 2, 3))
    more = replace(more, summary=more.summary.model_copy(update={"agreement": None}))
    found = judged([Chapter("few", kept, few.study, tuple(measure(kept, few.study))), more])
    assert [len(one.findings) for one in found] == [0, 2]
    assert "| Keras is better. | few | idiomatic | Keras 30 | PyTorch 10 |" in page(found)


def test_the_overview_tells_an_earlier_revision() -> None:
    (one,) = judged([chapter("a")])
    told = page([one], revisions={"a": Revision("test-digits", "full", ("arms",))})
    assert "[holds](#a) (earlier revision or override)" in told
    assert "differs from `test-digits.yaml` in `arms`. Its claims are those it was run with." in told
    assert "revision" not in page([one])


def test_a_result_without_a_file_says_so() -> None:
    (one,) = judged([chapter("a")])
    told = page([one], revisions={"a": Revision("test-again", "machine", None)})
    assert "[holds](#a) (not in experiments/)" in told
    assert "there is no `test-again.yaml` with a scale `machine`" in told


def test_a_study_is_told_once_and_its_results_follow_by_evidence_with_small_ones_folded_last() -> None:
    small = sized(chapter("b-small", key="s1", seeds=(0,)), "small")
    found = judged([chapter("a-few", key="s1", seeds=(0, 1)), small, chapter("c-most", key="s1", seeds=(0, 1, 2, 3))])
    told = page(found)
    assert told.count("**What fits the machine.**") == 1
    places = [told.index(f'<a id="{name}"></a>') for name in ("s1", "c-most", "a-few", "b-small")]
    assert places == sorted(places)
    _, _, last = told.partition('<a id="b-small"></a>')
    assert last.startswith("\n\n### S1 · `test-digits`, scale `small`\n\n<details><summary>")
    assert told.count("<details>") == told.count("</details>")
    assert no_anchor_is_folded(told)


def test_what_was_said_to_fit_before_a_result_ran_is_told_where_it_is_said_otherwise_now() -> None:
    one = chapter("a")
    frozen = Experiment.model_validate_json(one.summary.spec_json).model_copy(update={"study": one.study})
    whole = one.summary.model_copy(update={"spec_json": frozen.model_dump_json()})
    same = page([replace(one, summary=whole)])
    other = page([replace(one, summary=whole, study=one.study.model_copy(update={"fits": "Less than that."}))])
    assert "before this ran" not in same
    assert "<details><summary>What was said to fit before this ran</summary>\n\nIt fits." in other


def test_arms_that_an_attribution_adds_are_told_by_what_they_switch() -> None:
    one = chapter("a")
    frozen = Experiment.model_validate_json(one.summary.spec_json)
    plan = AttributionPlan(
        arms=("idiomatic-machine", "matched-machine"),
        between=("keras", "pytorch"),
        order=("initializer", "optimizer.epsilon"),
        alone=True,
    )
    arms = {f"{name}-machine": arm for name, arm in frozen.arms.items()}
    found = switched(frozen.model_copy(update={"scale": "machine", "arms": arms, "attribution": plan}))
    assert found == {
        "idiomatic-a1": "idiomatic with initializer as in matched",
        "idiomatic-a2": "idiomatic with initializer and optimizer.epsilon as in matched",
        "idiomatic-o2": "idiomatic with optimizer.epsilon as in matched",
    }
    assert switched(frozen) == {}


def no_anchor_is_folded(page: str) -> bool:
    depth = 0
    for line in page.splitlines():
        depth += line.startswith("<details>") - line.startswith("</details>")
        if depth and '<a id="' in line:
            return False
    return True


def sized(one: Chapter, scale: str) -> Chapter:
    """As if it had been run at a scale; its arms keep their names."""
    frozen = Experiment.model_validate_json(one.summary.spec_json).model_copy(update={"scale": scale})
    return replace(one, summary=one.summary.model_copy(update={"spec_json": frozen.model_dump_json()}))


def test_what_nothing_was_measured_of_is_told_once_for_a_study() -> None:
    never = Claim(text="Easier.", first=Side(framework="keras", epochs=4), unavailable="effort is not measured")
    found = judged([chapter(name, of=study(claim(), never), key="s1") for name in ("a", "b")])
    _, _, told = page(found).partition('<a id="s1"></a>')
    assert told.count("Easier.") == 1
    assert "- Easier. *not measured*: effort is not measured." in told


def test_a_study_without_any_result_and_a_file_without_one_say_so() -> None:
    one = chapter("a", key="s1")
    other = one.experiment.model_copy(update={"name": "s1-other", "study": study().model_copy(update={"key": "s1"})})
    alone = one.experiment.model_copy(update={"name": "s9-alone", "study": study().model_copy(update={"key": "s9"})})
    told = page(judged([one]), without=[other, alone])
    assert "`s1-other.yaml`: no result." in told
    assert "`s9-alone.yaml`: no result." in told
    assert "| [S9](#s9) | – | – | – | – | no result |" in told


def test_results_at_chance_level_are_no_evidence_where_another_one_is_above_it() -> None:
    large = study(images=10**6)
    more = chapter("more", of=large, seeds=(0, 1, 2, 3))
    poor = replace(more, findings=tuple(at_chance(finding) for finding in more.findings))
    assert [one.name for one, _ in best_evidence([poor, chapter("fewer", of=large, seeds=(0,))])] == ["fewer"] * 2
    assert "1 seed · at chance level" not in page([poor])
    assert "4 seeds · at chance level" in page([poor])


def at_chance(finding: Finding) -> Finding:
    return replace(finding, sides=tuple(replace(side, at_chance=True) for side in finding.sides))
