"""docs/training.md has every key a recipe takes."""

import re
from pathlib import Path
from typing import get_args

import pytest

from core.schemas.recipe import Adam, AdamW, BatchNormSpec, Frozen, Recipe, Sgd
from core.schemas.schedule import EarlyStopping, Monitor, Schedule

PAGE = (Path(__file__).parents[2] / "docs/training.md").read_text()
WORDS = {word for span in re.findall(r"`([^`\n]+)`", PAGE) for word in re.findall(r"[a-z_0-9-]+", span)}
SCHEDULES = get_args(get_args(Schedule)[0])
SCHEMAS = (Recipe, Adam, AdamW, Sgd, BatchNormSpec, EarlyStopping, Frozen, *SCHEDULES)
KEYS = {key for kind in SCHEMAS for key in kind.model_fields}


@pytest.mark.parametrize("key", sorted(KEYS - {"mode"}))
def test_every_key_of_a_recipe_is_on_the_page(key: str) -> None:
    assert key in WORDS


@pytest.mark.parametrize("name", [*(kind.model_fields["name"].default for kind in SCHEDULES), *get_args(Monitor)])
def test_every_schedule_and_monitor_is_on_the_page(name: str) -> None:
    assert name in WORDS
