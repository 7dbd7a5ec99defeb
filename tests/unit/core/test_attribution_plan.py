from typing import Any

import pydantic
import pytest

from core.schemas.experiment import Experiment

DOCUMENT: dict[str, Any] = {
    "name": "small",
    "title": "Small",
    "data": {"source": {"kind": "digits"}, "image": {"height": 8, "width": 8, "color": "grey"}},
    "arms": {
        "idiomatic": {"architecture": "digits-cnn", "mode": "idiomatic", "recipe": {"epochs": 2}},
        "matched": {"architecture": "digits-cnn", "recipe": {"epochs": 2}},
    },
    "attribution": {
        "arms": ["idiomatic", "matched"],
        "between": ["keras", "fastai"],
        "order": ["initializer", "batch_norm.momentum", "optimizer.epsilon"],
    },
}


def experiment(**attribution: Any) -> Experiment:
    return Experiment.model_validate({**DOCUMENT, "attribution": {**DOCUMENT["attribution"], **attribution}})


def test_each_arm_makes_one_switch_more_than_the_one_before() -> None:
    arms = experiment().all_arms
    assert list(arms) == ["idiomatic", "matched", "idiomatic-a1", "idiomatic-a2", "idiomatic-a3"]
    recipes = [arms[f"idiomatic-a{number}"].recipe for number in (1, 2, 3)]
    assert [recipe.initializer for recipe in recipes] == ["shared"] * 3
    assert [recipe.batch_norm.momentum for recipe in recipes] == [None, 0.9, 0.9]
    assert [recipe.batch_norm.epsilon for recipe in recipes] == [None] * 3
    assert [getattr(recipe.optimizer, "epsilon", 0) for recipe in recipes] == [None, None, 1e-8]


def test_every_default_that_the_report_names_can_be_switched_on_its_way_to_matched() -> None:
    order = [
        *("batch_size", "initializer", "batch_norm.momentum", "batch_norm.epsilon", "optimizer.epsilon"),
        *("augmentation", "schedule", "arithmetic", "pipeline"),
    ]
    start, end = DOCUMENT["arms"]["idiomatic"], DOCUMENT["arms"]["matched"]
    end = {**end, "recipe": {"epochs": 2, "batch_size": 16, "augmentation": {"flip": True}, "schedule": "cosine"}}
    plan = {**DOCUMENT["attribution"], "order": order}
    arms = Experiment.model_validate(
        {**DOCUMENT, "arms": {"idiomatic": start, "matched": end}, "attribution": plan}
    ).all_arms
    assert [arms[name].recipe.batch_size for name in ("idiomatic", "idiomatic-a1", "idiomatic-a9")] == [None, 16, 16]
    changed = [arms[f"idiomatic-a{number}"].recipe for number in range(1, len(order) + 1)]
    assert len({recipe.model_dump_json() for recipe in changed}) == len(order)
    # What no key names: the rates of Adam that equal the frameworks', and the label of the mode.
    left = {key for key, value in changed[-1].model_dump().items() if value != arms["matched"].recipe.model_dump()[key]}
    assert left == {"mode", "optimizer"}


def test_switches_alone_start_from_the_first_arm_each() -> None:
    arms = experiment(alone=True).all_arms
    assert arms["idiomatic-o2"].recipe.batch_norm.momentum == 0.9
    assert arms["idiomatic-o2"].recipe.initializer == "framework"


def test_a_switch_to_the_shared_pipeline_takes_the_processes_that_decode_with_it() -> None:
    start = {**DOCUMENT["arms"]["idiomatic"], "recipe": {"epochs": 2, "workers": 2}}
    plan = {**DOCUMENT["attribution"], "order": ["initializer", "pipeline", "arithmetic"], "alone": True}
    arms = Experiment.model_validate(
        {**DOCUMENT, "arms": {**DOCUMENT["arms"], "idiomatic": start}, "attribution": plan}
    ).all_arms
    names = ("idiomatic", "idiomatic-a1", "idiomatic-a2", "idiomatic-a3", "idiomatic-o2", "idiomatic-o3")
    assert [arms[name].recipe.workers for name in names] == [2, 2, None, None, None, 2]


def test_added_arms_train_two_frameworks_and_export_onnx_alone() -> None:
    found = experiment()
    assert found.frameworks_of("idiomatic-a1") == ("keras", "fastai")
    assert len(found.frameworks_of("matched")) == 4
    assert found.formats_of("keras", 0, "idiomatic-a1") == ("onnx",)
    assert found.formats_of("keras", 0, "matched") == ("keras", "savedmodel", "onnx")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": ["epochs"]}, "epochs is 2 in both recipes"),
        ({"order": ["initialiser"]}, "no key 'initialiser' in both recipes; they share arithmetic"),
        ({"order": ["batch_norm", "batch_norm.epsilon"]}, "batch_norm is .* in both recipes"),
        ({"order": ["initializer.kind"]}, "initializer has no keys of its own"),
        ({"order": ["initializer", "initializer"]}, "order has duplicates"),
        (
            {"arms": ["matched", "idiomatic"], "order": ["batch_size"]},
            "batch_size is null.* mode matched needs one value",
        ),
        ({"arms": ["idiomatic", "other"]}, r"attribution.arms names \['other'\]"),
        ({"between": ["keras", "keras"]}, "between has duplicates"),
    ],
)
def test_what_cannot_be_attributed_is_refused_with_the_reason(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        experiment(**changes)
