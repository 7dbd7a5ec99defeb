"""The picture of a result, on made-up accuracies: TEST DATA, no figure here was measured."""

from xml.etree import ElementTree

from evaluator.studies.chart import chart
from evaluator.studies.svg import LEFT, RIGHT, WIDTH
from tests.unit.evaluator.claims.test_judge import study, summary

SVG = "{http://www.w3.org/2000/svg}"


def bands(accuracies: dict[str, list[float]]) -> list[tuple[float, float]]:
    """Both ends of every interval."""
    drawn = ElementTree.fromstring(chart(summary(study(), accuracies), study()))
    lines = [line for line in drawn.iter(f"{SVG}line") if line.get("stroke-width") == "7"]
    return [(float(line.get("x1", 0)), float(line.get("x2", 0))) for line in lines]


def test_an_interval_wider_than_its_seeds_is_drawn_whole() -> None:
    for low, high in bands({"keras": [0.4, 0.6, 0.5], "pytorch": [0.45, 0.55, 0.5]}):
        assert LEFT < low < high < WIDTH - RIGHT


def test_no_accuracy_is_beyond_none_or_all() -> None:
    for low, high in bands({"keras": [0.02, 0.98, 0.97], "pytorch": [0.9, 0.95, 0.99]}):
        assert LEFT <= low < high <= WIDTH - RIGHT
