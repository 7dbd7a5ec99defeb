"""Recipes: short forms, what a mode stands for, and combinations that make no sense."""

from typing import Any

import pydantic
import pytest

from core.schemas.names import FRAMEWORKS
from core.schemas.recipe import OWN_BATCH_SIZE, AdamW, Recipe, complete
from core.schemas.schedule import Constant, OneCycle
from core.schemas.specs import FindRateSpec, TrainSpec, parse_trainer_spec


def recipe(mode: str = "matched", **keys: Any) -> Recipe:
    return Recipe.model_validate(complete(mode, {"epochs": 5, **keys}))


def test_a_name_alone_is_a_schedule_with_its_defaults() -> None:
    assert recipe(schedule="one-cycle").schedule == OneCycle()


def test_matched_is_constant_and_idiomatic_leaves_the_schedule_to_the_framework() -> None:
    assert recipe().schedule == Constant()
    assert recipe("idiomatic").schedule is None
    assert recipe("idiomatic", schedule="constant").schedule == Constant()


@pytest.mark.parametrize("mode", ["matched", "idiomatic"])
def test_an_optimizer_is_its_name_alone_or_adam_with_the_keys_that_are_written(mode: str) -> None:
    sgd = recipe(mode, optimizer="sgd").optimizer
    assert sgd == recipe(mode, optimizer={"name": "sgd"}).optimizer
    assert sgd.learning_rate == (1e-2 if mode == "matched" else None)
    slower = recipe(mode, optimizer={"learning_rate": 1e-4}).optimizer
    assert slower == recipe(mode, optimizer={"name": "adam", "learning_rate": 1e-4}).optimizer
    with pytest.raises(pydantic.ValidationError, match="lion"):
        recipe(mode, optimizer="lion")


def test_adamw_decays_by_a_named_amount_in_matched_and_by_the_frameworks_in_idiomatic() -> None:
    for mode, decay in (("matched", 0.01), ("idiomatic", None)):
        optimizer = recipe(mode, optimizer={"name": "adamw"}).optimizer
        assert isinstance(optimizer, AdamW)
        assert optimizer.weight_decay == decay


def test_matched_batches_are_one_size_and_idiomatic_leaves_it_to_the_framework() -> None:
    assert recipe().batch == 64
    assert recipe("idiomatic").batch_size is None
    assert recipe("idiomatic", batch_size=8).for_framework("keras").batch == 8
    found = {name: recipe("idiomatic", batch_size=None).for_framework(name).batch for name in FRAMEWORKS}
    assert found == OWN_BATCH_SIZE


def test_a_batch_size_that_is_left_to_the_framework_is_no_number_yet() -> None:
    with pytest.raises(ValueError, match="batch_size is left to the framework"):
        _ = recipe("idiomatic").batch


def test_workers_are_for_the_loaders_that_can_have_some() -> None:
    named = recipe("idiomatic", workers=2)
    found = {name: named.for_framework(name).workers for name in FRAMEWORKS}
    assert found == {"keras": None, "tensorflow": None, "pytorch": 2, "fastai": 2}
    assert recipe("matched", pipeline="framework", workers=0).workers == 0


@pytest.mark.parametrize(("framework", "size"), [("keras", 32), ("pytorch", 64)])
def test_the_spec_of_a_training_has_the_batch_size_of_its_framework(framework: str, size: int) -> None:
    own = {"framework": framework, "seed": 0, "architecture": "mlp", "data": "0" * 64, "recipe": recipe("idiomatic")}
    train = TrainSpec.model_validate({**own, "experiment": "e", "arm": "a", "formats": ("onnx",)})
    assert train.recipe.batch_size == FindRateSpec.model_validate(own).recipe.batch_size == size
    assert parse_trainer_spec(train.model_dump_json()) == train


def test_one_stage_needs_no_list() -> None:
    assert recipe(freeze={"until": "head", "epochs": 2}) == recipe(freeze=[{"until": "head", "epochs": 2}])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"freeze": {"until": "head", "epochs": 6}}, "freeze takes 6 epochs, epochs are 5"),
        ({"discriminative": 10}, "discriminative goes with freeze"),
        ({"discriminative": 10, "freeze": {"until": "head", "epochs": 5}}, "with epochs left after it"),
        ({"l2": 0.1, "optimizer": {"name": "adamw"}}, "l2 and adamw's weight_decay"),
        ({"schedule": "polynomial"}, "polynomial"),
        ({"class_weights": {"a": -1.0}}, "greater than 0"),
        ({"class_weights": {"a": 0.0}}, "greater than 0"),
        ({"label_smoothing": 1.0}, "less than 1"),
        ({"early_stopping": {"patience": 0}}, "greater than or equal to 1"),
        ({"keep_best": "f1"}, "validation_loss"),
        ({"batch_size": None}, "batch_size is null.* mode matched needs one value for all"),
        ({"schedule": None}, "schedule is null"),
        ({"optimizer": {"name": "sgd", "learning_rate": None}}, "optimizer.learning_rate is null"),
        ({"batch_norm": {"epsilon": None}}, "batch_norm.epsilon is null"),
        ({"workers": 2}, "workers 2 are of the frameworks' own loaders, and pipeline is shared"),
        ({"workers": -1, "pipeline": "framework"}, "greater than or equal to 0"),
    ],
)
def test_what_makes_no_sense_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        recipe(**keys)


def test_early_stopping_counts_in_the_last_stage() -> None:
    first, second = {"until": "head", "epochs": 2}, {"until": "dense1", "epochs": 3}
    stages: list[tuple[int, list[dict[str, Any]], int]] = [
        (5, [], 0), (5, [first], 2), (6, [first, second], 5), (5, [first, second], 2), (2, [first], 0),
    ]  # fmt: skip
    for epochs, freeze, before in stages:
        assert recipe(epochs=epochs, freeze=freeze).last_stage == before


def test_one_key_of_batch_norm_leaves_the_other_to_the_framework() -> None:
    for written, left in (("momentum", "epsilon"), ("epsilon", "momentum")):
        norm = Recipe(**complete("idiomatic", {"epochs": 1, "batch_norm": {written: 0.5}})).batch_norm
        assert (getattr(norm, written), getattr(norm, left)) == (0.5, None)
    refused = complete("idiomatic", {"epochs": 1, "batch_norm": "none"})
    with pytest.raises(pydantic.ValidationError, match="batch_norm"):
        Recipe(**refused)
