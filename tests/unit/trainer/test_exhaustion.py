"""Running out of memory; of torch and TensorFlow in the contract suite."""

import numpy as np
import pytest

from core.errors import ExhaustedError
from core.schemas.data import ImageSpec
from core.schemas.recipe import Recipe
from core.schemas.specs import FindRateSpec
from trainer.exhaustion import named

IMAGE = ImageSpec(height=28, width=32, color="grey")


def spec() -> FindRateSpec:
    recipe = Recipe(mode="matched", epochs=3, batch_size=512)
    return FindRateSpec(framework="keras", seed=0, architecture="mlp", data="0" * 64, recipe=recipe)


def test_a_training_without_memory_says_what_needed_it_and_what_to_lower() -> None:
    told = r"out of memory on cpu with batches of 512 images of 28×32×1 \(mlp\); lower recipe.batch_size or data.image"
    with pytest.raises(ExhaustedError, match=told), named(spec(), IMAGE, "cpu"):
        np.empty(1 << 60, np.uint8)


def test_any_other_error_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="a bug"), named(spec(), IMAGE, "cpu"):
        raise RuntimeError("a bug")
