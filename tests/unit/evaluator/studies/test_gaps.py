"""The studies at a glance, on made-up accuracies: TEST DATA, no figure here was measured."""

from xml.etree import ElementTree

import pytest

from core.schemas.study import Study
from evaluator.claims.verdicts import NOT_TESTED
from evaluator.studies.chapter import Chapter
from evaluator.studies.gaps import GROUPS, MODES, ROOM, gap_chart, gaps
from evaluator.studies.page import page
from evaluator.studies.svg import LEFT, RIGHT, WIDTH
from tests.unit.evaluator.claims.test_judge import CLEAR, IMAGES, SAME, claim, judge, study, summary

SVG = "{http://www.w3.org/2000/svg}"


def chapter(of: Study, accuracies: dict[str, list[float]], name: str = "test") -> Chapter:
    whole = summary(of, accuracies)
    return Chapter(name, whole, of, tuple(judge(whole, of)))


def words(picture: str) -> list[str]:
    return [one.text or "" for one in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def circles(picture: str) -> list[ElementTree.Element]:
    """The means, without those of the legend, which have no title."""
    found = ElementTree.fromstring(picture).iter(f"{SVG}circle")
    return [one for one in found if one.find(f"{SVG}title") is not None]


def test_a_claim_has_its_published_difference_and_a_mark_for_each_mode() -> None:
    drawn = gap_chart([chapter(study(), CLEAR)])
    assert [one.get("fill") for one in circles(drawn)] == [colour for colour, _ in MODES.values()]
    shown = words(drawn)
    row = shown.index("TEST · Keras − PyTorch")
    assert shown[row + 1 : row + 4] == ["+1.00", "+0.99", "+0.99"]
    places = [float(one.get("cx", 0)) for one in circles(drawn)]
    assert places[0] == places[1]


def test_what_is_not_tested_is_hollow_and_in_parentheses() -> None:
    small = chapter(study(images=3 * IMAGES), CLEAR)
    assert {finding.verdict for finding in small.findings} == {NOT_TESTED}
    drawn = gap_chart([small])
    assert {one.get("fill") for one in circles(drawn)} == {"#ffffff"}
    assert words(drawn).count("(+0.99)") == 2


UNLIKE = {"first": claim().first.model_copy(update={"measure": "train_accuracy"})}


@pytest.mark.parametrize(
    "changes",
    [{"measure": "training_seconds"}, {"second": None}, {"measure": "recall", "of_class": "0"}, UNLIKE],
    ids=["a time", "a figure", "recall", "training against test images"],
)
def test_other_claims_have_no_row(changes: dict[str, object]) -> None:
    other = claim(text="Another.", **changes)
    assert [gap.published for gap in gaps([chapter(study(claim(), other), SAME)])] == [pytest.approx(0.01)]


def test_a_claim_within_one_framework_has_no_row() -> None:
    same = claim(text="Keras against itself.", second=claim().first)
    assert len(gaps([chapter(study(same, claim()), SAME)])) == 1


def test_rows_are_in_the_order_of_the_claims_and_of_the_best_result() -> None:
    swapped = claim(text="PyTorch is better.", first=claim().second, second=claim().first)
    small, large = chapter(study(swapped, claim(), images=3 * IMAGES), SAME), chapter(study(swapped, claim()), CLEAR)
    found = gaps([small, large])
    assert [gap.name for gap in found] == ["TEST · PyTorch − Keras", "TEST · Keras − PyTorch"]
    assert {finding.verdict for gap in found for finding in gap.found.values()} == {
        "holds",
        "does not hold: the opposite",
    }


def test_sides_in_different_arms_are_named_with_them() -> None:
    first = claim().first.model_copy(update={"arms": ("idiomatic",)})
    second = claim().second.model_copy(update={"arms": ("matched",)})
    assert [gap.name for gap in gaps([chapter(study(claim(first=first, second=second)), SAME)])] == [
        "TEST · Keras − PyTorch matched"
    ]


def test_the_page_begins_with_the_picture() -> None:
    told = page([chapter(study(), CLEAR)])
    assert told.index("](images/studies-gaps.svg)") < told.index("|  | Claim |")


def test_comparisons_of_other_networks_or_recipes_are_a_group_of_their_own() -> None:
    first = claim().first.model_copy(update={"arms": ("idiomatic",)})
    second = claim().second.model_copy(update={"arms": ("matched",)})
    one = chapter(study(claim(text="Unlike.", first=first, second=second), claim()), SAME)
    assert [gap.alike for gap in gaps([one])] == [True, False], "the like ones come first"
    shown = words(gap_chart([one]))
    alike, unlike = (shown.index(heading) for heading in GROUPS.values())
    assert alike < shown.index("TEST · Keras − PyTorch") < unlike < shown.index("TEST · Keras − PyTorch matched")


def test_no_interval_is_cut_at_the_axis() -> None:
    wide = {"keras": [0.2, 0.9, 0.7], "pytorch": [0.7, 0.3, 0.8]}
    drawn = ElementTree.fromstring(gap_chart([chapter(study(), wide)]))
    bands = [line for line in drawn.iter(f"{SVG}line") if line.get("stroke-width") == "5"]
    (finding, _) = chapter(study(), wide).findings
    assert finding.test
    assert finding.test.interval
    low, high = (float(bands[0].get(end, 0)) for end in ("x1", "x2"))
    mean = float(circles(gap_chart([chapter(study(), wide)]))[0].get("cx", 0))
    assert low < mean < high
    assert low > LEFT, "there is axis beyond its ends"
    assert high < WIDTH - RIGHT - ROOM
