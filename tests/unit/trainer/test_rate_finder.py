"""The learning-rate finder: its ramp, its end and its suggestions. Frameworks are the contract suite's."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InvalidInputError
from core.prepared import PreparedData
from core.schemas.data import ImageSpec, PreparedManifest
from core.schemas.recipe import Recipe
from core.schemas.specs import FindRateSpec
from trainer.architectures import get_architecture
from trainer.originals import Originals
from trainer.phases import phases
from trainer.rate_finder import Enough, Recorder, few, part, ramp, steepest, suggest, valley, whole_batches
from trainer.schedules import epoch_shares


def spec(**changes: Any) -> FindRateSpec:
    given = {"framework": "keras", "seed": 0, "architecture": "resnet18", "data": "0" * 64}
    recipe = Recipe(mode="matched", epochs=3, batch_size=32)
    return FindRateSpec.model_validate({**given, "recipe": recipe, **changes})


def recorder(steps: int = 100) -> Recorder:
    return Recorder(steps, lambda done, loss: None)


@pytest.mark.parametrize("steps_an_epoch", [1, 7, 50, 99, 100])
def test_the_steps_of_the_ramp_have_the_rates_it_says(steps_an_epoch: int) -> None:
    recipe, rates = ramp(spec(), steps_an_epoch)
    assert recipe.schedule is not None
    epochs = range(1, recipe.epochs + 1)
    shares = [epoch_shares(recipe.schedule, epoch, recipe.epochs, steps_an_epoch, []) for epoch in epochs]
    np.testing.assert_allclose(1e-7 * np.concatenate(shares)[:100], rates, rtol=1e-9)
    assert (rates[0], rates[-1]) == (pytest.approx(1e-7), pytest.approx(10.0))


def test_a_search_draws_no_more_images_than_it_needs() -> None:
    assert part(50, 50, 0).tolist() == part(50, 80, 0).tolist() == list(range(50))
    found = part(50, 20, 0).tolist()
    assert (len(found), len(set(found))) == (20, 20)
    assert found == part(50, 20, 0).tolist() != part(50, 20, 1).tolist()


def prepared(folder: Path, images: int) -> PreparedData:
    for name in ("train", "validation"):
        np.save(folder / f"{name}.images.npy", np.arange(images, dtype=np.uint8).reshape(images, 1, 1, 1))
        np.save(folder / f"{name}.labels.npy", np.arange(images) % 2)
    manifest = PreparedManifest.model_construct(classes=("a", "b"))
    return PreparedData("0" * 64, folder, manifest)


def test_the_originals_of_a_search_are_those_of_the_images_it_draws(tmp_path: Path) -> None:
    data = prepared(tmp_path, 50)
    paths = tuple(Path(f"{number}.png") for number in range(50))
    whole = Originals(np.arange(50) % 2, ImageSpec(height=1, width=1, color="grey"), 2, tmp_path, paths)
    recipe = Recipe(mode="idiomatic", epochs=1, batch_size=1, pipeline="framework")
    found = few(spec(recipe=recipe, steps=20), data, {"train": whole, "validation": whole})
    drawn = np.asarray(found.train.images).ravel().tolist()
    originals = found.original("train")
    assert originals is not None
    assert len(drawn) == 20
    assert [path.name for path in originals.paths] == [f"{number}.png" for number in drawn]
    assert originals.labels.tolist() == found.train.labels.tolist()
    assert len(found.validation) == len(found.original("validation") or ()) == 1


def test_a_search_on_arrays_reads_no_more_than_it_needs_and_a_whole_split_from_its_file(tmp_path: Path) -> None:
    found = few(spec(steps=20), prepared(tmp_path, 64), None)
    assert found.originals is None
    assert isinstance(found.train.images, np.memmap)


@pytest.mark.parametrize(("images", "used"), [(1, 1), (31, 31), (32, 32), (33, 32), (50, 32), (200, 192)])
def test_a_search_has_whole_batches_only_for_some_loaders_drop_a_partial_one(
    tmp_path: Path, images: int, used: int
) -> None:
    found = few(spec(steps=20), prepared(tmp_path, images), None)
    assert len(found.train) == used == whole_batches(images, 32)


def test_frozen_layers_stay_frozen_for_the_whole_search() -> None:
    frozen = Recipe.model_validate(
        {"mode": "matched", "epochs": 4, "freeze": {"until": "head", "epochs": 1}, "early_stopping": {}}
    )
    recipe, _ = ramp(spec(recipe=frozen), 30)
    (phase,) = phases(recipe, get_architecture("resnet18", (64, 64, 3), 10))
    assert (phase.epochs, phase.trains("conv1")) == (4, False)
    assert recipe.early_stopping is None


def test_a_search_ends_with_its_last_step() -> None:
    found = recorder(steps=3)
    for loss in (3.0, 2.0):
        found._record(loss)
    with pytest.raises(Enough):
        found._record(1.0)
    assert (found.losses, found.diverged) == ([3.0, 2.0, 1.0], False)


@pytest.mark.parametrize("loss", [math.nan, math.inf, 1e9])
def test_a_search_ends_when_the_loss_explodes_and_keeps_what_came_before(loss: float) -> None:
    found = recorder()
    found._record(2.0)
    with pytest.raises(Enough):
        found._record(loss)
    assert (found.losses, found.diverged) == ([2.0], True)


def test_the_valley_is_half_way_down_the_longest_fall() -> None:
    losses = np.concatenate([np.full(10, 3.0), np.linspace(2.9, 0.2, 30), np.linspace(0.3, 9, 10)])
    # The fall ends at 39 after 31 places: a third of them from its start, and half a third.
    assert valley(losses) == 8 + 10 + 5


def test_a_fall_from_the_very_first_loss_has_the_valley_that_fastai_finds() -> None:
    # fastai has such a fall start at place -1: 31 places, a third of them, and half a third.
    assert valley(np.linspace(2.0, 0.2, 31)) == -1 + 10 + 5
    assert valley(np.array([2.0, 1.0])) == 0


def test_losses_that_never_fall_have_their_valley_at_the_start() -> None:
    assert valley(np.linspace(1.0, 2.0, 20)) == 0


def test_the_steepest_place_is_where_the_loss_falls_fastest_over_the_logarithm() -> None:
    rates = np.geomspace(1e-6, 1.0, 50)
    assert steepest(rates, -np.arctan(4 * (np.log10(rates) + 3))) in (23, 24, 25)


def test_a_loss_that_explodes_at_once_says_what_to_do() -> None:
    with pytest.raises(InvalidInputError, match="after 12 steps, at rate 1e-07; begin at a lower rate"):
        suggest(np.full(12, 1e-7), np.full(12, 1.0), spec())
