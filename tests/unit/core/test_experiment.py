"""Arms with frameworks of their own, another split, and how many seeds there are by default."""

from typing import Any

import pydantic
import pytest

from core.schemas.experiment import Experiment

ARM: dict[str, Any] = {"architecture": "digits-cnn", "recipe": {"epochs": 2}}
DOCUMENT: dict[str, Any] = {
    "name": "small",
    "title": "Small",
    "data": {
        "source": {"kind": "digits"},
        "image": {"height": 8, "width": 8, "color": "grey"},
        "split": {"policy": "stratified", "validation": 0.15, "test": 0.25, "seed": 3},
    },
    "arms": {"one": ARM, "two": {**ARM, "frameworks": ["pytorch"]}},
    "frameworks": ["keras", "pytorch"],
}
CLAIM = {"text": "It is good.", "first": {"framework": "keras", "arms": ["one"], "epochs": 2, "published": 0.9}}
STUDY = {"title": "Study", "images": 10, "fits": "It fits.", "claims": [CLAIM]}


def experiment(**changes: Any) -> Experiment:
    return Experiment.model_validate({**DOCUMENT, **changes})


def problem(**changes: Any) -> str:
    with pytest.raises(pydantic.ValidationError) as found:
        experiment(**changes)
    return str(found.value)


def test_an_arm_may_have_frameworks_of_its_own() -> None:
    found = experiment()
    assert found.frameworks_of("one") == ("keras", "pytorch")
    assert found.frameworks_of("two") == ("pytorch",)


def test_an_arms_frameworks_are_among_the_experiments_and_each_trains_something() -> None:
    assert "arms.two.frameworks names ['fastai']; those of the experiment are ['keras', 'pytorch']" in problem(
        arms={"one": ARM, "two": {**ARM, "frameworks": ["fastai"]}}
    )
    assert "arms.one.frameworks has duplicates" in problem(arms={"one": {**ARM, "frameworks": ["keras", "keras"]}})
    assert "frameworks names ['keras'], which no arm trains" in problem(arms={"two": DOCUMENT["arms"]["two"]})
    assert "frameworks" in problem(arms={"one": {**ARM, "frameworks": []}})


def test_what_is_attributed_or_searched_is_trained_by_the_arm() -> None:
    attribution = {"arms": ["two", "one"], "between": ["keras", "pytorch"], "order": ["initializer"]}
    arms = {"one": ARM, "two": {**ARM, "mode": "idiomatic", "frameworks": ["pytorch"]}}
    assert "attribution.between names ['keras']; arm two is trained by ['pytorch']" in problem(
        attribution=attribution, arms=arms
    )
    search = {"arm": "two", "framework": "keras", "method": "grid", "space": {"recipe.batch_size": [4, 8]}}
    assert "search.framework 'keras' is not there" in problem(search=search)


def test_the_other_split_has_the_keys_of_the_experiments_that_it_does_not_write() -> None:
    found = experiment(other_split={"split": {"policy": "contiguous"}})
    assert found.other_split is not None
    expected = found.data.split.model_copy(update={"policy": "contiguous"})
    assert found.other_split.split == expected
    assert Experiment.model_validate_json(found.model_dump_json()) == found


def test_the_other_split_takes_no_key_over_that_its_policy_does_not_have() -> None:
    data = DOCUMENT["data"] | {"split": {"policy": "given", "own_validation": "join", "seed": 7}}
    other = Experiment.model_validate({**DOCUMENT, "data": data, "other_split": {"split": {"policy": "stratified"}}})
    assert other.other_split is not None
    assert (other.other_split.split.own_validation, other.other_split.split.seed) == ("keep", 7)


def test_the_other_split_trains_the_arms_it_names_under_names_of_their_own() -> None:
    every = experiment(other_split={"split": {"policy": "contiguous"}})
    assert list(every.other_arms) == ["one-contiguous", "two-contiguous"]
    assert every.frameworks_of("two-contiguous") == ("pytorch",)
    some = experiment(other_split={"split": {"policy": "contiguous"}, "arms": ["two"]})
    assert list(some.other_arms) == ["two-contiguous"]
    assert some.formats_of("pytorch", 0, "two-contiguous") == ("onnx",)
    assert experiment().other_arms == {}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"other_split": {"split": {"policy": "stratified"}}},
            "other_split.split.policy is stratified as data.split's",
        ),
        ({"other_split": {"split": {}}}, "other_split.split.policy is stratified as data.split's"),
        (
            {"other_split": {"split": {"policy": "contiguous"}, "arms": ["three"]}},
            "other_split.arms names ['three']; the arms are ['one', 'two']",
        ),
        ({"other_split": {"split": {"policy": "by hand"}}}, "other_split.split.policy"),
        ({"other_split": {"split": 3}}, "other_split.split"),
        ({"other_split": 3}, "other_split"),
        ({"other_split": {"split": {"seed": 4}}}, "other_split.split.policy is stratified as data.split's"),
        (
            {"other_split": {"split": {"policy": "contiguous"}}, "data": {**DOCUMENT["data"], "limit": 5}},
            "other_split and data.limit 5 do not go together",
        ),
        ({"data": 3}, "data"),
        ({"other_split": {"split": {"policy": "contiguous"}}, "data": 3}, "data"),
        (
            {"other_split": {"split": {"policy": "contiguous"}}, "arms": {"one": ARM, "one-contiguous": ARM}},
            "arms ['one-contiguous'] have names that other_split gives to arms of its own",
        ),
        (
            {
                "other_split": {"split": {"policy": "contiguous"}},
                "search": {"arm": "one", "framework": "keras", "method": "grid", "space": {"recipe.batch_size": [4]}},
            },
            "search and other_split are two experiments",
        ),
    ],
)
def test_a_wrong_other_split_is_refused_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    assert reason in problem(**changes)


def test_models_of_the_other_split_have_names_that_fit_a_label() -> None:
    arms = {"a" * 37: ARM}
    assert experiment(arms=arms)
    assert "shorten name or arm" in problem(arms=arms, other_split={"split": {"policy": "contiguous"}})


def test_a_study_has_five_seeds_by_default_anything_else_one() -> None:
    assert experiment().seeds == (0,)
    assert experiment(study=STUDY).seeds == (0, 1, 2, 3, 4)
    assert experiment(study=STUDY, seeds=[7]).seeds == (7,)
