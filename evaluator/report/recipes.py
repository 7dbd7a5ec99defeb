"""What an arm trains, in one line."""

from collections.abc import Iterator

from core.schemas.recipe import Recipe
from core.schemas.summary import Arm
from evaluator import text


def describe_recipe(arm: Arm) -> str:
    """One line: network, parameters, and the main points of the recipe with what it has beyond the plain ones."""
    recipe = arm.recipe
    rate = recipe.optimizer.learning_rate
    optimizer = (
        f"{recipe.optimizer.name}, {'the framework’s learning rate' if rate is None else f'learning rate {rate:g}'}"
    )
    batches = "each framework’s own size" if recipe.batch_size is None else str(recipe.batch_size)
    return (
        f"{arm.architecture}, {text.count(arm.parameters, 'parameter')}; {text.count(recipe.epochs, 'epoch')} of "
        f"batches of {batches}; {optimizer}" + "".join(f"; {words}" for words in _beyond_plain(recipe))
    )


SCALARS = ("normalization", "loss", "label_smoothing", "l2", "sampler", "workers", "precision")
"""Keys of a recipe that are told with their value where that is not the default."""


def _beyond_plain(recipe: Recipe) -> Iterator[str]:
    if recipe.schedule is not None and recipe.schedule.name != "constant":
        yield f"schedule {recipe.schedule.name}"
    if changes := recipe.augmentation.model_dump(exclude_defaults=True):
        # A flip is there or not; everything else has a figure.
        yield f"images varied by {text.names([k if v is True else f'{k} {v:g}' for k, v in changes.items()])}"
    for key in SCALARS:
        if (value := getattr(recipe, key)) != Recipe.model_fields[key].default:
            yield f"{key.replace('_', ' ')} {value}"
    if recipe.class_weights is not None:
        yield "class weights"
    if recipe.pretrained is not None:
        yield "from pretrained weights"
    if recipe.freeze:
        yield f"first layers frozen in {text.count(len(recipe.freeze), 'stage')}"
    if recipe.early_stopping is not None:
        yield "early stopping"
    if recipe.keep_best is not None:
        yield f"best epoch by {recipe.keep_best.replace('_', ' ')}"
