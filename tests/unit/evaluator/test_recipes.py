"""What an arm trains, in one line."""

import pytest

from core.schemas.recipe import Recipe
from core.schemas.summary import Summary
from evaluator.report.recipes import describe_recipe
from evaluator.summary import summarise
from tests.unit.evaluator.builder import Experiment

SYNTHETIC = Experiment(frameworks=("keras",), seeds=(0,), arms=("matched",), load_tests=False)
SUMMARY: Summary = summarise(SYNTHETIC.spec, SYNTHETIC.results, SYNTHETIC.probabilities, SYNTHETIC.labels)


def described(**keys: object) -> str:
    recipe = Recipe.model_validate({"mode": "matched", "epochs": 4, **keys})
    return describe_recipe(SUMMARY.arms[0].model_copy(update={"recipe": recipe}))


def test_a_plain_recipe_is_told_by_network_epochs_batches_and_optimiser() -> None:
    assert described().endswith("; 4 epochs of batches of 64; adam, learning rate 0.001")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"augmentation": {"flip": True, "rotate": 40, "shift": 0.2}}, "varied by flip, rotate 40 and shift 0.2"),
        ({"schedule": "one-cycle"}, "schedule one-cycle"),
        ({"normalization": "standardize"}, "normalization standardize"),
        ({"sampler": "weighted", "l2": 0.001}, "l2 0.001; sampler weighted"),
        ({"pipeline": "framework", "workers": 2}, "workers 2"),
        ({"loss": "mean_squared_error", "label_smoothing": 0.1}, "loss mean_squared_error; label smoothing 0.1"),
        ({"class_weights": "balanced"}, "class weights"),
        ({"freeze": {"until": "head", "epochs": 1}}, "first layers frozen in 1 stage"),
        (
            {"early_stopping": {"patience": 2}, "keep_best": "validation_loss"},
            "early stopping; best epoch by validation loss",
        ),
    ],
)
def test_what_goes_beyond_it_is_told_with_its_figure(keys: dict[str, object], words: str) -> None:
    assert described(**keys).endswith(words)
