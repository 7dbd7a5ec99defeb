"""Contrast as WCAG 2.2 defines it (relative luminance, 1.4.3 and 1.4.11), of what the style sheets say."""

import re
from itertools import product
from pathlib import Path

import pytest

import services.ui
from evaluator.report.html import TEMPLATES

COLOR = re.compile(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)")
TEXT, GRAPHICS = 4.5, 3.0
GROUNDS = ("bg", "surface", "raised")


def palette(sheet: Path) -> dict[str, tuple[str, str]]:
    """Name to the colours of the light and the dark theme."""
    return {name: (light, dark) for name, light, dark in COLOR.findall(sheet.read_text())}


def contrast(first: str, second: str) -> float:
    low, high = sorted(map(luminance, (first, second)))
    return (high + 0.05) / (low + 0.05)


def luminance(color: str) -> float:
    shares = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


REPORT = palette(TEMPLATES / "base.css")
PAGES = palette(Path(services.ui.__file__).parent / "pages/ui.css")
SIGNS = [name for name in REPORT if name.startswith("c-") and not name.endswith(("-low", "-high"))]
"""Colours of lines, bars and legends; cells of a matrix carry figures instead."""


def test_the_measure_is_right_where_the_answer_is_known() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    assert len(SIGNS) >= 11


@pytest.mark.parametrize(("theme", "name"), list(product((0, 1), [*SIGNS, "edge"])))
def test_signs_stand_out_from_the_page_and_from_its_cards(theme: int, name: str) -> None:
    for ground in ("bg", "surface"):
        assert contrast(REPORT[name][theme], REPORT[ground][theme]) >= GRAPHICS


@pytest.mark.parametrize("theme", [0, 1])
def test_text_can_be_read_on_every_ground_of_report_and_pages(theme: int) -> None:
    for colors, names in ((REPORT, ("text", "muted", "accent")), (PAGES, ("text", "muted", "accent", "warn"))):
        for name, ground in product(names, GROUNDS):
            assert contrast(colors[name][theme], colors[ground][theme]) >= TEXT, (name, ground)


@pytest.mark.parametrize("theme", [0, 1])
def test_figures_can_be_read_in_every_cell_of_a_matrix(theme: int) -> None:
    for name in ("c-hit-low", "c-hit-high", "c-miss-low", "c-miss-high"):
        assert contrast(REPORT["text"][theme], REPORT[name][theme]) >= TEXT, name


def test_no_text_is_made_fainter_than_its_colour() -> None:
    sheet = (TEMPLATES / "parts.css").read_text()
    faint = re.findall(r"([^{}\n]+)\{[^}]*opacity: 0\.\d", sheet)
    assert faint == []
