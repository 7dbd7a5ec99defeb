"""Several results of one study, on synthetic summaries: TEST DATA, no figure here was measured."""

import pytest

from core.schemas.experiment import Experiment
from core.schemas.study import Claim, Side, Study
from evaluator.studies.judge import NOT_TESTED, measure
from evaluator.studies.page import Chapter, best_evidence, page
from evaluator.studies.results import judged
from tests.unit.evaluator.studies.test_judge import CLEAR, claim, study, summary


def chapter(name: str, of: Study | None = None, experiment: str = "", seeds: tuple[int, ...] = (0, 1, 2)) -> Chapter:
    of = of or study()
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


def test_p_values_are_corrected_for_all_results_of_a_study_and_of_no_other() -> None:
    (alone,) = judged([chapter("a")])
    first, second, other = judged([chapter("a"), chapter("b"), chapter("c", experiment="another")])
    assert adjusted(first) == adjusted(second) == pytest.approx(2 * adjusted(alone))
    assert adjusted(other) == adjusted(alone)


def test_the_overview_shows_each_claim_and_mode_once_with_the_best_evidence() -> None:
    found = judged([chapter("one-seed", seeds=(0,)), chapter("two-seeds", seeds=(0, 1))])
    assert {(one.name, finding.verdict) for one, finding in best_evidence(found)} == {("two-seeds", NOT_TESTED)}
    # A verdict counts for more than any amount of work without one.
    large = study(images=10**6)
    found = judged([chapter("three-seeds"), chapter("many-seeds-few-images", of=large)])
    assert [one.name for one, _ in best_evidence(found)] == ["three-seeds", "three-seeds"]
    overview, _, _ = page(found).partition("\n<a id")
    assert overview.count("| [Test study](#three-seeds) | Keras is better. |") == 2
    assert "many-seeds" not in overview


def test_what_one_experiment_could_not_measure_is_left_out_where_another_did() -> None:
    missing = Claim(
        text=claim().text,
        first=Side(framework="fastai", epochs=10, published=0.9998),
        unavailable="weights unavailable",
    )
    without = chapter("without", of=study(missing))
    assert [finding.verdict for one in judged([without]) for finding in one.findings] == [
        "not reproduced: weights unavailable"
    ]
    first, second = judged([without, chapter("with", experiment="pretrained")])
    assert first.findings == ()
    assert [finding.verdict for finding in second.findings] == ["holds", "holds"]
