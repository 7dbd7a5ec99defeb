"""Verdicts on synthetic summaries: TEST DATA, no figure here was measured."""

import dataclasses
from collections.abc import Sequence

import pydantic
import pytest

from core.memory import KEEP_FREED
from core.schemas.environment import Environment
from core.schemas.experiment import Experiment
from core.schemas.results import TrainResult
from core.schemas.study import Claim, Side, Study
from core.schemas.summary import Place, SeedAccuracy, Summary
from evaluator import statistics
from evaluator.claims.judge import Finding, decide, measure
from evaluator.claims.memory import gave_back
from evaluator.claims.verdicts import NOT_TESTED, TIMES_DIFFER, UNTESTABLE, UNTESTED
from evaluator.claims.wording import why
from evaluator.studies.chapter import Chapter
from evaluator.studies.chart import published_accuracies
from evaluator.studies.page import page
from evaluator.summary import summarise
from tests.unit.evaluator.builder import Experiment as Synthetic
from tests.unit.evaluator.builder import changed, environment

EPOCHS = 4
IMAGES = 1440
"""What the synthetic data has for training."""


def claim(**changes: object) -> Claim:
    first = Side(framework="keras", arms=("idiomatic", "matched"), epochs=EPOCHS, published=0.98)
    second = Side(framework="pytorch", arms=("idiomatic", "matched"), epochs=EPOCHS, published=0.97)
    return Claim(text="Keras is better.", first=first, second=second).model_copy(update=changes)


def study(*claims: Claim, images: int = IMAGES) -> Study:
    return Study(title="Test study", images=images, fits="It fits.", claims=claims or (claim(),))


def summary(
    of: Study, accuracies: dict[str, Sequence[float]], seeds: tuple[int, ...] = (0, 1, 2), contended: bool = False
) -> Summary:
    """A summary in which a framework has the given accuracies in both arms."""
    synthetic = Synthetic(frameworks=("keras", "pytorch"), seeds=seeds, epochs=EPOCHS, load_tests=False)
    results = synthetic.results
    if contended:
        for result in [r for r in results if isinstance(r, TrainResult)]:
            results = changed(results, result.run_id, environment=environment(contended=True))
    found = summarise(synthetic.spec, results, synthetic.probabilities, synthetic.labels)
    groups = []
    for group in found.groups:
        values = [
            SeedAccuracy(seed=seed, accuracy=value, interval=(value - 0.01, value + 0.01))
            for seed, value in zip(seeds, accuracies[group.framework], strict=True)
        ]
        spread = statistics.spread([value.accuracy for value in values])
        groups.append(group.model_copy(update={"seeds": tuple(values), "accuracy": spread}))
    arm = {"architecture": "digits-cnn", "recipe": {"epochs": EPOCHS}}
    experiment = Experiment.model_validate(
        {
            "name": "test-digits",
            "title": "Test",
            "data": {"source": {"kind": "digits"}, "image": {"height": 8, "width": 8, "color": "grey"}},
            "arms": {"matched": arm, "idiomatic": {**arm, "mode": "idiomatic"}},
            "study": of.model_dump(),
        }
    )
    places = tuple(place.model_copy(update={"environment": keeping(place.environment)}) for place in found.places)
    return found.model_copy(
        update={"groups": tuple(groups), "spec_json": experiment.model_dump_json(), "places": places}
    )


def keeping(one: Environment) -> Environment:
    """The same where freed memory stays, so that PyTorch's times are its own."""
    return one.model_copy(update={"variables": KEEP_FREED})


def judge(whole: Summary, of: Study) -> list[Finding]:
    """The verdicts of a study with one result."""
    return decide(measure(whole, of))


def verdicts(of: Study, **arguments: object) -> list[Finding]:
    return judge(summary(of, **arguments), of)  # type: ignore[arg-type]


CLEAR = {"keras": [0.980, 0.981, 0.982], "pytorch": [0.970, 0.9712, 0.9721]}
SAME = {"keras": [0.980, 0.975, 0.982], "pytorch": [0.979, 0.981, 0.977]}


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        (CLEAR, "holds"),
        ({"keras": CLEAR["pytorch"], "pytorch": CLEAR["keras"]}, "does not hold: the opposite"),
        (SAME, "no difference shown"),
    ],
)
def test_a_comparison_is_decided_by_the_paired_differences_over_seeds(
    accuracies: dict[str, list[float]], expected: str
) -> None:
    found = verdicts(study(), accuracies=accuracies)
    assert [(finding.mode, finding.verdict) for finding in found] == [("idiomatic", expected), ("matched", expected)]
    assert all((f.images, f.epochs, f.seeds) == (IMAGES, EPOCHS, 3) for f in found)


@pytest.mark.parametrize("other", [0.98, 0.97])
def test_differences_without_spread_cannot_be_tested(other: float) -> None:
    of = study()
    whole = summary(of, {"keras": [0.98] * 3, "pytorch": [other] * 3})
    found = judge(whole, of)
    assert {(finding.verdict, *finding.reasons) for finding in found} == {
        (UNTESTABLE, "the same difference in every seed")
    }
    assert "points, the same in every seed: no interval |" in page([Chapter("test", whole, of, tuple(found))])


def test_two_seeds_may_only_say_not_tested() -> None:
    found = verdicts(study(), accuracies={k: v[:2] for k, v in CLEAR.items()}, seeds=(0, 1))
    assert {finding.verdict for finding in found} == {NOT_TESTED}
    assert "2 of the 3 seeds" in found[0].shortfalls[0]


def test_one_seed_has_no_interval_and_no_verdict() -> None:
    found = verdicts(study(), accuracies={k: v[:1] for k, v in CLEAR.items()}, seeds=(0,))
    assert {finding.verdict for finding in found} == {NOT_TESTED}
    assert found[0].test is not None
    assert found[0].test.interval is None


@pytest.mark.parametrize(("images", "allowed"), [(2 * IMAGES, True), (2 * IMAGES + 1, False)])
def test_half_of_the_images_are_needed(images: int, allowed: bool) -> None:
    found = verdicts(study(images=images), accuracies=CLEAR)
    assert all((finding.verdict != NOT_TESTED) == allowed for finding in found)


@pytest.mark.parametrize(("epochs", "allowed"), [(2 * EPOCHS, True), (2 * EPOCHS + 1, False)])
def test_half_of_the_epochs_of_each_side_are_needed(epochs: int, allowed: bool) -> None:
    side = claim().first.model_copy(update={"epochs": epochs})
    found = verdicts(study(claim(first=side)), accuracies=CLEAR)
    assert all((finding.verdict != NOT_TESTED) == allowed for finding in found)


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        (0.981, "no difference from the published figure shown"),
        (0.5, "higher than published"),
        (0.999, "lower than published"),
    ],
)
def test_a_figure_is_tested_against_what_was_published(published: float, expected: str) -> None:
    side = claim().first.model_copy(update={"published": published})
    found = verdicts(study(claim(first=side, second=None)), accuracies=CLEAR)
    assert {finding.verdict for finding in found} == {expected}


def test_a_figure_of_one_run_is_held_against_where_one_more_run_would_lie_and_a_bound_against_the_mean() -> None:
    side = claim().first
    figure, _ = verdicts(study(claim(first=side, second=None)), accuracies=CLEAR)
    bound, _ = verdicts(study(claim(first=side.model_copy(update={"bound": True}), second=None)), accuracies=CLEAR)
    assert figure.test
    assert bound.test
    assert figure.test == statistics.of_one_run(bound.test).model_copy(update={"p_adjusted": figure.test.p_adjusted})
    assert figure.test.interval != bound.test.interval


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        (0.981, "no difference from the published figure shown"),
        (0.5, "holds: more than that"),
        (0.999, "does not hold: less than that"),
    ],
)
def test_a_bound_holds_where_there_is_more_than_that(published: float, expected: str) -> None:
    side = claim().first.model_copy(update={"published": published, "bound": True})
    found = verdicts(study(claim(first=side, second=None)), accuracies=CLEAR)
    assert {finding.verdict for finding in found} == {expected}


def test_times_of_contended_trainings_are_not_compared() -> None:
    of = study(claim(measure="training_seconds"))
    alone, contended = verdicts(of, accuracies=CLEAR), verdicts(of, accuracies=CLEAR, contended=True)
    assert not {finding.verdict for finding in alone} & {*UNTESTED}
    assert {finding.verdict for finding in contended} == {TIMES_DIFFER}
    assert contended[0].shortfalls == ()
    assert "contended" in contended[0].incomparable[0]


def test_too_small_a_scale_comes_before_times_that_do_not_compare() -> None:
    of = study(claim(measure="training_seconds"), images=10**6)
    found = verdicts(of, accuracies=CLEAR, contended=True)
    assert {finding.verdict for finding in found} == {NOT_TESTED}
    assert "contended" in why(found[0]), "both reasons are told"


def without_setting(place: Place) -> Place:
    return place.model_copy(update={"environment": place.environment.model_copy(update={"variables": {}})})


def test_times_of_torch_before_freed_memory_was_kept_lead_to_no_verdict() -> None:
    """Of the C library, not of the framework; the others keep their memory themselves."""
    of = study(claim(measure="training_seconds", text="Keras takes longer."))
    whole = summary(of, CLEAR)
    whole = whole.model_copy(update={"places": tuple(map(without_setting, whole.places))})
    assert gave_back(whole, ["keras", "pytorch", "tensorflow"]) == ("pytorch",)
    assert {finding.verdict for finding in judge(whole, of)} == {TIMES_DIFFER}
    told = page([Chapter("test", whole, of, tuple(judge(whole, of)))])
    assert "> PyTorch ran before trainer services [kept freed memory](training-speed.md#" in told
    assert [finding.verdict for finding in judge(whole, study())] == ["holds", "holds"], "accuracies compare"


def test_every_place_where_torch_was_trained_needs_the_setting() -> None:
    whole = summary(study(), CLEAR)
    assert gave_back(whole, ["pytorch"]) == ()
    (own,) = (place for place in whole.places if "PyTorch training" in place.roles)
    for places in ((own, without_setting(own)), ()):
        assert gave_back(whole.model_copy(update={"places": places}), ["pytorch"]) == ("pytorch",)


def elsewhere(place: Place, **environment: object) -> Place:
    return place.model_copy(update={"environment": place.environment.model_copy(update=environment)})


def test_another_allocator_is_somebodys_choice_and_compares() -> None:
    whole = summary(study(), CLEAR)
    places = tuple(elsewhere(place, variables={"LD_PRELOAD": "libjemalloc.so.2"}) for place in whole.places)
    assert gave_back(whole.model_copy(update={"places": places}), ["pytorch"]) == ()


@pytest.mark.parametrize("other", [{"host": "b", "boot_id": "b"}, {"cpu_quota": 1.0}, {"device": "cuda"}])
def test_times_of_sides_that_trained_elsewhere_do_not_compare(other: dict[str, object]) -> None:
    of = study(claim(measure="training_seconds", text="Keras takes longer."))
    whole = summary(of, CLEAR)
    places = tuple(elsewhere(place, **other) if "PyTorch training" in place.roles else place for place in whole.places)
    found = judge(whole.model_copy(update={"places": places}), of)
    assert {(finding.verdict, *finding.reasons) for finding in found} == {
        (TIMES_DIFFER, "the trainings ran on different machines, devices or quotas")
    }


def test_sides_that_the_study_measured_differently_are_measured_so_and_say_it() -> None:
    """Training accuracy on one side, validation accuracy on the other: the page must not call that a like for like."""
    first = claim().first.model_copy(update={"measure": "train_accuracy"})
    second = Side(framework="pytorch", arms=("idiomatic", "matched"), epochs=EPOCHS, measure="validation_accuracy")
    of = study(claim(first=first, second=second))
    whole = summary(of, CLEAR)
    idiomatic = judge(whole, of)[0]
    for side, figure in zip(idiomatic.sides, ("train_accuracy", "validation_accuracy"), strict=True):
        mine = [t for t in whole.trainings if (t.arm, t.framework) == ("idiomatic", side.side.framework)]
        assert side.by_seed == {t.seed: getattr(t.history[-1], figure) for t in mine}
    text = page([Chapter("test", whole, of, (idiomatic,))])
    assert "(training images)" in text
    assert "(validation images)" in text
    assert "**Framework or defaults?**" not in text


def test_seconds_are_not_compared_with_shares() -> None:
    with pytest.raises(pydantic.ValidationError, match="seconds are compared with seconds"):
        Claim(text="x", measure="training_seconds", first=claim().first.model_copy(update={"measure": "accuracy"}))


def test_unavailable_weights_are_said_to_be_so() -> None:
    side = Side(framework="fastai", epochs=10, published=0.9998)
    of = study(Claim(text="Pretrained.", first=side, unavailable="weights unavailable"))
    assert [f.verdict for f in verdicts(of, accuracies=CLEAR)] == ["not reproduced: weights unavailable"]


def test_more_claims_make_each_verdict_harder() -> None:
    one, many = (verdicts(study(*([claim()] * number)), accuracies=CLEAR)[0].test for number in (1, 20))
    assert one is not None
    assert many is not None
    assert one.p_value == many.p_value
    assert (one.p_adjusted or 0) < (many.p_adjusted or 0)


def test_the_page_says_images_epochs_seeds_and_interval_in_every_row() -> None:
    of = study(claim(), claim(measure="training_seconds", text="Keras is slower."))
    found = summary(of, CLEAR)
    text = page([Chapter("test", found, of, tuple(judge(found, of)))])
    rows = [line for line in text.splitlines() if line.startswith("| Keras is") and "| 1,440 | 4 of 4 | 3 |" in line]
    assert len(rows) == 4
    assert all(" to " in row for row in rows)
    assert "**Framework or defaults?**" in text


def test_findings_cannot_be_changed_after_the_fact() -> None:
    finding = verdicts(study(), accuracies=SAME)[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        finding.verdict = "holds"  # type: ignore[misc]


def with_recalls(whole: Summary, recalls: dict[str, Sequence[float]]) -> Summary:
    """ONNX rows of a framework recall class 3 as often as given, by seed."""
    rows = []
    for row in whole.rows:
        values = [
            one.model_copy(update={"recall": recalls[row.framework][row.seed]}) if one.name == "3" else one
            for one in row.classes
        ]
        rows.append(row.model_copy(update={"classes": tuple(values)}) if row.format == "onnx" else row)
    return whole.model_copy(update={"rows": tuple(rows)})


def test_a_claim_about_recall_is_judged_by_the_recall_of_its_class() -> None:
    of = study(claim(measure="recall", of_class="3"))
    whole = with_recalls(summary(of, SAME), CLEAR)
    found = judge(whole, of)
    assert [finding.verdict for finding in found] == ["holds", "holds"]
    assert found[0].sides[0].by_seed == dict(enumerate(CLEAR["keras"]))
    assert "Keras idiomatic 98.10% (recall of 3)" in page([Chapter("test", whole, of, tuple(found))])


def test_a_class_that_is_not_there_is_no_matter_of_scale() -> None:
    of = study(claim(measure="recall", of_class="PNEUMONIA"))
    found = judge(summary(of, SAME), of)
    assert {finding.verdict for finding in found} == {UNTESTABLE}
    assert {finding.shortfalls for finding in found} == {()}
    assert "there is no class PNEUMONIA among the results" in page(
        [Chapter("test", summary(of, SAME), of, tuple(found))]
    )


def test_recall_needs_a_class_and_other_measures_have_none() -> None:
    for values in ({"measure": "recall"}, {"of_class": "3"}):
        with pytest.raises(pydantic.ValidationError, match="write of_class with measure recall, and only with it"):
            Claim.model_validate(claim().model_dump() | values)


def test_fit_seconds_are_those_of_training_and_validation() -> None:
    of = study(claim(measure="fit_seconds"))
    whole = summary(of, SAME)
    plain = judge(whole, study(claim(measure="training_seconds")))
    found = judge(whole, of)
    for side, other in zip(found[0].sides, plain[0].sides, strict=True):
        assert [side.by_seed[seed] - seconds for seed, seconds in other.by_seed.items()] == pytest.approx(
            [EPOCHS * 0.05] * 3
        )
    assert " s (with validation)" in page([Chapter("test", whole, of, tuple(found))])


def test_no_published_difference_is_made_of_a_bound() -> None:
    figure, bound = study(), study(claim(first=claim().first.model_copy(update={"bound": True})))
    assert [of.claims[0].published_gap is None for of in (figure, bound)] == [False, True]
    assert published_accuracies(bound).keys() < published_accuracies(figure).keys()


def test_what_no_claim_of_ours_answers_is_not_measured() -> None:
    side = Side(framework="keras", epochs=EPOCHS)
    of = study(Claim(text="Easier.", first=side, unavailable="effort is not measured"))
    assert [f.verdict for f in verdicts(of, accuracies=CLEAR)] == ["not measured"]


def test_trainings_that_failed_for_lack_of_weights_are_not_reproduced_for_that_reason() -> None:
    of = study()
    whole = summary(of, CLEAR)
    label = "idiomatic keras s0: weights unavailable: resnet34-b627a593.pth is not in /weights"
    failed = whole.model_copy(update={"groups": (), "trainings": (), "rows": (), "missing": (label,)})
    assert [f.verdict for f in judge(failed, of)] == ["not reproduced: weights unavailable"]
    other = failed.model_copy(update={"missing": ("idiomatic keras s0: out of memory",)})
    assert [f.verdict for f in judge(other, of)] == [NOT_TESTED, NOT_TESTED]
    assert judge(whole.model_copy(update={"missing": (label,)}), of) == judge(whole, of), "some training is there"


def test_a_claim_that_stands_for_another_is_held_against_its_published_difference() -> None:
    as_published = claim(text="As the study compares them.")
    second = Side(framework="pytorch", arms=("idiomatic", "matched"), epochs=EPOCHS)
    first = Side(framework="keras", arms=("idiomatic", "matched"), epochs=EPOCHS)
    alike = Claim(text="Alike.", first=first, second=second, stands_for="As the study compares them.")
    found = verdicts(study(as_published, alike), accuracies=CLEAR)
    assert {round(finding.published_gap or 0, 6) for finding in found} == {0.01}
    assert {f.published_gap for f in verdicts(study(alike), accuracies=CLEAR)} == {None}, "a scale without that claim"
    with pytest.raises(pydantic.ValidationError, match="stands_for goes with the same arms"):
        Claim.model_validate(alike.model_dump() | {"second": None, "first": claim().first.model_dump()})
