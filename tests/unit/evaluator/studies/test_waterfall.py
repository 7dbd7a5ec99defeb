"""The waterfall of a study, on made-up accuracies: TEST DATA, no figure here was measured."""

from xml.etree import ElementTree

import pytest

from core.schemas.attribution import Attribution
from core.schemas.statistics import SeedTest
from evaluator.attribution import attribute
from evaluator.report.attribution import UNCLEAR, bars
from evaluator.studies.chapter import Chapter
from evaluator.studies.page import page
from evaluator.studies.svg import BAR, COLOURS
from evaluator.studies.waterfall import waterfall
from tests.unit.evaluator.claims.test_judge import EPOCHS, IMAGES, SAME, claim, study, summary
from tests.unit.evaluator.test_attribution import CLEAR, PLAN, groups

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def found() -> Attribution:
    one = attribute(PLAN, groups(seeds=5, keras=CLEAR, pytorch=(0.96,) * 5))
    assert one is not None
    return one


def test_a_chapter_shows_the_waterfall_and_its_figures_where_its_result_has_them(found: Attribution) -> None:
    of = study()
    without = summary(of, SAME)
    with_it = without.model_copy(update={"attribution": found})
    plain, told = (page([Chapter("test", one, of, ())]) for one in (without, with_it))
    assert "waterfall" not in plain
    assert "](images/study-test-waterfall.svg)" in told
    assert "**Which default makes the difference.** From idiomatic to matched" in told
    assert f"| {UNCLEAR} |" in told


def test_an_attribution_on_too_few_images_says_so_first_and_gives_no_shares(found: Attribution) -> None:
    of = study(images=IMAGES * 3)
    one = Chapter("test", summary(of, SAME).model_copy(update={"attribution": found}), of, ())
    told = page([one])
    assert "**Not tested at this scale: 1,440 of the study's 4,320 images.** From idiomatic to matched" in told
    assert "| not tested |" in told
    folded = told[told.index("<details><summary>The waterfall") :]
    assert "-waterfall.svg)" in folded, "so small an attribution shows none unasked"
    assert one.attribution
    for words in (told, waterfall(one.attribution)):
        assert "from none" not in words


def test_an_attribution_of_too_few_epochs_or_seeds_says_so(found: Attribution) -> None:
    side = claim().first.model_copy(update={"epochs": 2 * EPOCHS + 1})
    few = attribute(PLAN, groups(seeds=2))
    for of, attributed, why in ((study(claim(first=side)), found, "4 of 9 epochs"), (study(), few, "2 of the 3 seeds")):
        whole = summary(of, SAME).model_copy(update={"attribution": attributed})
        assert f"**Not tested at this scale: {why}" in page([Chapter("test", whole, of, ())])


def test_bars_float_from_where_the_one_before_ended(found: Attribution) -> None:
    first, *changes, last, _ = bars(found)
    level = first.size
    for bar in changes:
        assert bar.base == pytest.approx(level)
        level += bar.size
    assert last.size == pytest.approx(level)
    assert (first.base, last.base) == (0.0, 0.0)


def test_the_drawing_has_a_bar_for_each_and_hatches_what_may_be_luck(found: Attribution) -> None:
    drawing = ElementTree.fromstring(waterfall(found))
    drawn = [rect for rect in drawing.findall(f"{SVG}rect") if rect.get("height") == str(BAR)]
    solid = [rect for rect in drawn if rect.get("fill") != "url(#unclear)"]
    assert len(solid) == len(list(bars(found))) == 6
    assert len(drawn) - len(solid) == sum(not bar.clear for bar in bars(found)) == 3
    assert solid[1].get("fill") == COLOURS["keras"], "the first switch moves the gap in favour of Keras"
    spans = [(float(rect.get("x", 0)), float(rect.get("width", 0))) for rect in solid]
    assert all(x >= 0 and x + width <= 860 for x, width in spans)
    # The first gap is to the left of zero and the first change begins at its end.
    assert spans[0][0] == pytest.approx(spans[1][0], abs=0.2)


def without_p(change: SeedTest) -> SeedTest:
    return change.model_copy(update={"p_value": None, "p_adjusted": None})


def test_the_legend_names_every_reason_for_hatching_that_occurs(found: Attribution) -> None:
    luck, rest, together = found.shares[1], found.rest, found.interaction
    assert together is not None
    assert "parentheses: not distinguishable from none</text>" in waterfall(found)
    mixed = found.model_copy(update={"rest": without_p(rest)})
    assert "parentheses: not distinguishable from none, or not tested</text>" in waterfall(mixed)
    bare = luck.model_copy(update={"change": without_p(luck.change)})
    one = mixed.model_copy(update={"shares": (found.shares[0], bare), "interaction": without_p(together)})
    assert "parentheses: not tested</text>" in waterfall(one), "the first switch is clear and not hatched"
    clear = found.model_copy(
        update={"shares": found.shares[:1], "rest": found.shares[0].change, "interaction": found.shares[0].change}
    )
    assert "hatched" not in waterfall(clear)
