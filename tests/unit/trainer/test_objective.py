"""Class weights: given, balanced, and wrong."""

import numpy as np
import pydantic
import pytest

from core.errors import InvalidInputError
from core.schemas.recipe import Recipe
from trainer.objective import class_weights, objective

COUNTS = {"normal": 30, "pneumonia": 90}


def test_balanced_weights_give_every_class_the_same_say() -> None:
    assert class_weights("balanced", COUNTS) == (2.0, pytest.approx(2 / 3))


def test_a_class_without_images_divides_by_nothing() -> None:
    assert class_weights("balanced", {"a": 10, "b": 0}) == (0.5, 5.0)


def test_a_class_that_is_not_named_weighs_one() -> None:
    assert class_weights({"normal": 3.0}, COUNTS) == (3.0, 1.0)
    assert class_weights(None, COUNTS) is None


def test_an_unknown_class_is_named_with_the_known_ones() -> None:
    with pytest.raises(InvalidInputError, match="class_weights names 'covid'; the classes are normal, pneumonia"):
        class_weights({"covid": 2.0}, COUNTS)


def test_a_weight_of_zero_is_refused_where_it_is_written() -> None:
    # torch divides by the sum of a batch's weights: none where every image of a small batch is of that class.
    with pytest.raises(pydantic.ValidationError, match=r"class_weights(.|\n)*greater than 0"):
        Recipe(mode="idiomatic", epochs=1, class_weights={"normal": 0.0})


def test_an_objective_counts_the_training_labels() -> None:
    recipe = Recipe(mode="matched", epochs=1, class_weights="balanced", label_smoothing=0.1)
    found = objective(recipe, ("a", "b"), np.array([0, 1, 1, 1]))
    assert found.class_weights == (2.0, pytest.approx(2 / 3))
    assert not found.plain
    assert not found.normalized
    assert objective(recipe.model_copy(update={"arithmetic": "framework"}), ("a", "b"), np.array([0, 1])).normalized
