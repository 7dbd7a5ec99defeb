"""docs/training.md has every key a recipe takes."""

from pathlib import Path
from typing import get_args

import pytest

from core.schemas.recipe import Adam, AdamW, BatchNormSpec, Recipe, Sgd
from core.schemas.schedule import EarlyStopping, Monitor, Schedule

PAGE = (Path(__file__).parents[2] / "docs/training.md").read_text()
SCHEDULES = get_args(get_args(Schedule)[0])
KEYS = {
    key for kind in (Recipe, Adam, AdamW, Sgd, BatchNormSpec, EarlyStopping, *SCHEDULES) for key in kind.model_fields
}


@pytest.mark.parametrize("key", sorted(KEYS - {"mode", "name"}))
def test_every_key_of_a_recipe_is_on_the_page(key: str) -> None:
    assert f"{key}`" in PAGE or f"{{{key}" in PAGE or f", {key}" in PAGE


@pytest.mark.parametrize("name", [*(kind.model_fields["name"].default for kind in SCHEDULES), *get_args(Monitor)])
def test_every_schedule_and_monitor_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE
