"""An answer for each study, on made-up accuracies: TEST DATA, no figure here was measured."""

from collections.abc import Sequence

from core.schemas.study import Claim, Side, Study
from evaluator.studies.answers import answers, so, table
from evaluator.studies.chapter import Chapter
from evaluator.studies.defaults import shifts
from evaluator.studies.page import page
from tests.unit.evaluator.claims.test_judge import EPOCHS, IMAGES, claim, judge, study
from tests.unit.evaluator.studies.test_defaults import moved

AHEAD = (0.020, 0.021, 0.022)
EVEN = (0.001, 0.002, -0.001)
WIDE = (0.030, -0.020, 0.010)


def chapter(
    idiomatic: Sequence[float], matched: Sequence[float], of: Study | None = None, name: str = "test"
) -> Chapter:
    of = of or study()
    whole = moved(of, idiomatic, matched)
    return Chapter(name, whole, of, tuple(judge(whole, of)))


def told(*chapters: Chapter) -> str:
    (answer,) = answers(chapters, shifts([one.findings for one in chapters]))
    return so(answer)


def test_a_difference_with_everything_equal_is_the_frameworks() -> None:
    assert told(chapter(AHEAD, AHEAD)).startswith("**The framework:**")


def test_a_difference_that_goes_with_the_defaults_is_theirs() -> None:
    assert told(chapter(AHEAD, EVEN)).startswith("**The defaults:**")


def test_a_difference_in_own_defaults_alone_is_not_called_theirs_where_the_shift_is_not_shown() -> None:
    words = "**With own defaults Keras is ahead;** that the defaults make the difference is not shown."
    assert told(chapter(AHEAD, WIDE)).startswith(words)


def test_where_both_make_a_part_both_are_named_and_who_is_ahead() -> None:
    assert told(chapter((0.025, 0.027, 0.026), (0.005, 0.006, 0.007))).startswith(
        "**Framework and defaults:** with everything equal Keras is ahead; the defaults move that by +2.00 points."
    )
    behind = [-gap for gap in AHEAD]
    assert "with everything equal PyTorch is ahead; the defaults move that by +4.20 points" in told(
        chapter(AHEAD, behind)
    )


def test_the_defaults_are_named_where_they_move_what_is_no_difference_in_either_mode() -> None:
    moved_alike = told(chapter((0.030, -0.020, 0.010), (0.010, -0.041, -0.011)))
    assert moved_alike.startswith("**The defaults:** they move the difference by +2.07 points; with everything equal")


def test_a_difference_that_is_the_published_one_is_not_called_inconclusive() -> None:
    assert told(chapter((0.009, 0.011, 0.012), EVEN)).endswith(
        "One run of each could be as far apart as published in idiomatic mode, and could not in matched."
    )
    assert told(chapter((0.009, 0.011, 0.012), (0.009, 0.010, 0.012))).endswith(
        "In either mode one run of each could be as far apart as published."
    )


def test_no_difference_says_what_the_intervals_do_with_the_published_one() -> None:
    assert told(chapter(EVEN, EVEN)) == (
        "**Neither shown:** no difference is shown in either mode. "
        "In either mode one run of each could not be as far apart as published."
    )
    assert told(chapter(WIDE, EVEN)).endswith(
        "One run of each could be as far apart as published in idiomatic mode, and could not in matched."
    )


def test_without_a_published_figure_no_difference_says_what_is_left_open() -> None:
    second = claim().second
    assert second
    bare = study(claim(second=second.model_copy(update={"published": None})))
    assert "Inconclusive: matched leaves -" in told(chapter(WIDE, EVEN, of=bare))


def test_too_small_a_scale_says_why_nothing_can_be_said() -> None:
    large = study(images=3 * IMAGES)
    assert told(chapter(AHEAD, EVEN, of=large)) == (
        "**Not testable at this scale:** 1,440 of the study's 4,320 images."
    )


def test_the_answer_is_of_the_claim_in_which_only_the_framework_differs_and_inherits_its_published_difference() -> None:
    one, other = Side(framework="keras", arms=("idiomatic", "matched"), epochs=EPOCHS), claim().second
    assert other
    unlike = claim(
        text="As published.", second=other.model_copy(update={"arms": ("matched", "idiomatic"), "published": 0.5})
    )
    alike = Claim(
        text="Alike.", first=one, second=other.model_copy(update={"published": None}), stands_for="As published."
    )
    found = chapter(AHEAD, EVEN, of=study(unlike, alike))
    (answer,) = answers([found], [])
    assert {finding.claim.text for finding in answer.findings} == {"Alike."}
    assert "| [TEST](#test) | Keras − PyTorch | +48.00 points | [" in table([answer])
    bounds = unlike.model_copy(update={"first": unlike.first.model_copy(update={"bound": True})})
    (answer,) = answers([chapter(AHEAD, EVEN, of=study(bounds, alike))], [])
    assert answer.published == "bounds only"


def test_a_study_has_one_answer_that_of_the_claim_with_the_most_behind_it() -> None:
    long = claim().first.model_copy(update={"epochs": 100})
    (answer,) = answers([chapter(AHEAD, EVEN, of=study(claim(text="Too long.", first=long), claim()))], [])
    assert {finding.claim.text for finding in answer.findings} == {claim().text}


def test_the_page_begins_with_the_answers() -> None:
    text = page([chapter(AHEAD, EVEN)])
    assert text.index("**The defaults:**") < text.index("](images/studies-gaps.svg)") < text.index("## Every claim")
