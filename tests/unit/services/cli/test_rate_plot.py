"""The page of `bakeoff lr-find`."""

from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from core import environment
from core.schemas.recipe import Recipe
from core.schemas.results import FindRateResult
from core.schemas.specs import FindRateSpec
from services.cli import rate_plot


def result(framework: str, smoothed: list[float], **changes: Any) -> FindRateResult:
    recipe = changes.pop("recipe", Recipe(mode="matched", epochs=1))
    rates = tuple(np.geomspace(1e-7, 10.0, len(smoothed)).tolist())
    spec = FindRateSpec.model_validate(
        {
            "framework": framework,
            "seed": 0,
            "architecture": "<net>",
            "data": "0" * 64,
            "recipe": recipe,
        }
    )
    return FindRateResult(
        run_id="r",
        spec=spec,
        rates=rates,
        losses=tuple(smoothed),
        smoothed=tuple(smoothed),
        valley=rates[len(rates) // 2],
        steep=rates[len(rates) // 3],
        diverged=True,
        seconds=1.0,
        environment=environment.describe(1),
    )


FALLING = [*np.linspace(2.3, 0.4, 80).tolist(), *np.geomspace(0.5, 900.0, 20).tolist()]


def test_every_framework_has_a_curve_and_its_two_suggestions() -> None:
    drawing = ElementTree.fromstring(rate_plot.drawing([result("keras", FALLING), result("fastai", FALLING)]))
    assert len(drawing.findall("polyline")) == 2
    assert len(drawing.findall("circle")) == 4
    assert {"keras", "fastai"} <= {text.text for text in drawing.findall("text")}


@pytest.mark.parametrize("losses", [FALLING, [2.0] * 30, [-1.0, *FALLING[1:]]])
def test_a_curve_stays_inside_the_drawing_however_its_loss_explodes(losses: list[float]) -> None:
    drawing = ElementTree.fromstring(rate_plot.drawing([result("keras", losses)]))
    line = drawing.find("polyline")
    assert line is not None
    points = np.array([point.split(",") for point in line.attrib["points"].split()], float)
    assert (points >= 0).all()
    assert (points <= (rate_plot.WIDTH, rate_plot.HEIGHT)).all()


def test_frameworks_with_batches_of_their_own_are_said_to_have_them() -> None:
    own = Recipe(mode="idiomatic", epochs=1, batch_size=None)
    found = [result(name, FALLING, recipe=own) for name in ("keras", "tensorflow", "fastai")]
    assert "batches of 32 or 64, seed 0" in rate_plot.page(found)
    assert "batches of 32, seed 0" in rate_plot.page(found[:2])


def test_a_page_shows_the_suggested_rates_and_escapes_names() -> None:
    page = rate_plot.page([result("keras", FALLING)])
    assert "&lt;net&gt;" in page
    assert "<net>" not in page
    assert f"{result('keras', FALLING).valley:.2e}" in page
    assert "<script" not in page
