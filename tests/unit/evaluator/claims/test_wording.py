"""A finding as people read it, on synthetic summaries: TEST DATA, no figure here was measured."""

import pytest

from core.schemas.study import Study
from evaluator.claims.verdicts import NOT_TESTED
from evaluator.claims.wording import allows, difference, measured, why, work
from tests.unit.evaluator.claims.test_judge import CLEAR, EPOCHS, SAME, claim, judge, study, summary, verdicts


def open_study(**changes: object) -> Study:
    side = claim().first.model_copy(update={"epochs": 2 * EPOCHS, "epochs_open": True})
    return study(claim(first=side, **changes))


def test_epochs_that_the_study_does_not_name_are_said_to_be_ours() -> None:
    finding = verdicts(open_study(second=None), accuracies=CLEAR)[0]
    assert work(finding)[1] == "4 of 8 (ours)"
    assert why(finding).endswith("; 4 of 8 epochs, ours: the study names none")
    finding = verdicts(open_study(), accuracies=CLEAR)[0]
    assert work(finding)[1] == "4 of 8 (ours) / 4 of 4"
    assert why(finding).endswith("; Keras: 4 of 8 epochs, ours: the study names none")
    whole = study().model_copy(update={"epochs_open": True})
    assert work(verdicts(whole, accuracies=CLEAR)[0])[1] == "4 of 4 (ours)"
    assert "ours" not in why(verdicts(study(), accuracies=CLEAR)[0])


def test_an_interval_of_shares_ends_where_shares_end() -> None:
    wide = {"keras": [0.2, 0.9, 0.7], "pytorch": [0.9, 0.1, 0.5]}
    figure = verdicts(study(claim(second=None)), accuracies=wide)[0]
    assert difference(figure).endswith("(-98.00 to +2.00, cut to what is possible)")
    assert why(figure).endswith(
        "between -98.00 and +2.00 points from the published figure, cut to what is possible: inconclusive"
    )
    assert "(-100.00 to +100.00, cut to what is possible)" in difference(verdicts(study(), accuracies=wide)[0])
    assert "possible" not in difference(verdicts(study(), accuracies=CLEAR)[0])


def test_accuracies_by_two_measures_are_said_to_be_no_difference_by_either() -> None:
    side = claim().first.model_copy(update={"measure": "train_accuracy"})
    assert "the sides are measured differently" in why(verdicts(study(claim(first=side)), accuracies=CLEAR)[0])
    assert "measured differently" not in why(verdicts(study(), accuracies=CLEAR)[0])


def test_a_published_accuracy_of_the_last_epoch_needs_all_epochs() -> None:
    side = claim().first.model_copy(update={"epochs": 2 * EPOCHS})
    last = verdicts(study(claim(measure="train_accuracy", first=side, second=None)), accuracies=CLEAR)[0]
    assert last.verdict == NOT_TESTED
    assert last.shortfalls[0].startswith("4 of 8 epochs, and the published training accuracy")
    served = verdicts(study(claim(first=side, second=None)), accuracies=CLEAR)[0]
    assert served.shortfalls == ()


@pytest.mark.parametrize(
    ("accuracies", "gap", "expected"),
    [
        (SAME, 0.01, "points apart, which includes the published +1.00; between "),
        (SAME, 0.5, "points apart, which excludes the published +50.00"),
        (SAME, None, "between "),
        (CLEAR, 0.5, "points apart, which excludes the published +50.00"),
    ],
)
def test_why_says_what_the_interval_allows_or_excludes(
    accuracies: dict[str, list[float]], gap: float | None, expected: str
) -> None:
    second = claim().second
    assert second
    published = None if gap is None else 0.98 - gap
    finding = verdicts(study(claim(second=second.model_copy(update={"published": published}))), accuracies=accuracies)[
        0
    ]
    told = "; ".join(allows(finding))
    assert expected in told
    assert told.startswith("one run of each would be " if gap else "between ")
    assert told.endswith(" points: inconclusive") == (accuracies is SAME and gap != 0.5)
    assert finding.test
    assert why(finding).startswith("p ")
    assert ", after correction p " in why(finding), "the raw p value and the corrected one"


def test_a_difference_of_times_names_its_sides_and_which_took_longer() -> None:
    of = study(claim(measure="training_seconds"))
    finding = verdicts(of, accuracies=CLEAR)[0]
    assert finding.test
    longer = "Keras" if finding.test.mean > 0 else "PyTorch"
    assert difference(finding).startswith("Keras − PyTorch: ")
    assert difference(finding).endswith(f", {longer} longer")
    assert "longer" not in difference(verdicts(study(), accuracies=CLEAR)[0])


def test_why_one_side_took_longer_says_how_long_it_waited_for_data() -> None:
    of = study(claim(measure="training_seconds"))
    whole = summary(of, SAME)
    waiting = tuple(
        one.model_copy(
            update={
                "history": tuple(
                    epoch.model_copy(update={"data_seconds": 0.25 * epoch.train_seconds}) for epoch in one.history
                )
            }
        )
        if one.framework == "pytorch"
        else one
        for one in whole.trainings
    )
    found = judge(whole.model_copy(update={"trainings": waiting}), of)[0]
    assert "waiting for data, of the training: Keras not measured, PyTorch 25.0%" in why(found)
    assert "waiting" not in why(judge(whole, of)[0])


def test_means_are_over_the_seeds_of_both_sides_and_say_so() -> None:
    of = study()
    whole = summary(of, CLEAR)
    groups = tuple(
        group.model_copy(update={"seeds": group.seeds[1:]}) if group.framework == "pytorch" else group
        for group in whole.groups
    )
    keras, pytorch = measured(judge(whole.model_copy(update={"groups": groups}), of)[0]).split(" · ")
    assert keras == "Keras idiomatic 98.15% (2 of 3 seeds)"
    assert pytorch == "PyTorch idiomatic 97.16%"


def test_an_accuracy_no_better_than_the_largest_class_is_said_to_be_at_chance_level() -> None:
    low = {"keras": [0.10, 0.11, 0.12], "pytorch": CLEAR["pytorch"]}
    finding = verdicts(study(), accuracies=low)[0]
    assert finding.at_chance
    assert measured(finding).startswith("Keras idiomatic 11.00% (at chance level) · PyTorch idiomatic 97.")
    assert not verdicts(study(), accuracies=CLEAR)[0].at_chance
