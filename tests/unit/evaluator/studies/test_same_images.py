"""McNemar's test beside a claim, on synthetic summaries: TEST DATA, no figure here was measured."""

from dataclasses import replace

from core.schemas.scores import Agreement, AgreementPair, PairedTest
from core.schemas.study import Study
from core.schemas.summary import Summary
from evaluator.studies import same_images
from evaluator.studies.chapter import Chapter
from tests.unit.evaluator.claims.test_judge import judge, study, summary

ACCURACIES = {"keras": [0.98, 0.97, 0.99], "pytorch": [0.97, 0.96, 0.95]}


def compared(whole: Summary, first: int, second: int) -> Summary:
    """These rows were compared image by image: 30 only the first has right, 10 only the second."""
    test = PairedTest(only_first=30, only_second=10, p_value=0.002, p_adjusted=0.012)
    pair = AgreementPair(first=first, second=second, agreement=0.9, test=test)
    return whole.model_copy(update={"agreement": Agreement(rows=(first, second), images=360, pairs=(pair,))})


def row(whole: Summary, framework: str) -> int:
    wanted = ("idiomatic", framework, "onnx", 0)
    return next(i for i, one in enumerate(whole.rows) if (one.arm, one.framework, one.format, one.seed) == wanted)


def chapter(of: Study, whole: Summary, name: str = "test") -> Chapter:
    return Chapter(name, whole, of, tuple(judge(whole, of)))


def test_a_claim_is_told_with_the_images_that_one_side_alone_has_right() -> None:
    of = study()
    plain = summary(of, ACCURACIES)
    keras, pytorch = row(plain, "keras"), row(plain, "pytorch")
    (note, table) = same_images.section([chapter(of, compared(plain, keras, pytorch))])
    assert note.startswith("**On the same test images.**")
    assert table.splitlines()[2:] == ["| Keras is better. | test | idiomatic | Keras 30 | PyTorch 10 | p = 0.002 |"]


def test_p_values_are_corrected_for_the_rows_shown_and_not_for_all_pairs_that_were_compared() -> None:
    of = study()
    plain = summary(of, ACCURACIES)
    kept = compared(plain, row(plain, "keras"), row(plain, "pytorch"))
    _, table = same_images.section([chapter(of, kept, "one"), chapter(of, kept, "two")])
    assert [line.rsplit(" | ", 1)[1] for line in table.splitlines()[2:]] == ["p = 0.004 |"] * 2


def test_trainings_of_two_results_are_told_and_corrected_for_once() -> None:
    of = study()
    plain = summary(of, ACCURACIES)
    whole = chapter(of, compared(plain, row(plain, "keras"), row(plain, "pytorch")), "one")
    again = replace(whole, name="two", findings=(), repeated=whole.findings)
    _, table = same_images.section([again, whole])
    assert table.splitlines()[2:] == ["| Keras is better. | one | idiomatic | Keras 30 | PyTorch 10 | p = 0.002 |"]
    _, alone = same_images.section([again])
    assert " | two | " in alone


def test_a_pair_in_the_other_order_is_turned() -> None:
    of = study()
    plain = summary(of, ACCURACIES)
    turned = compared(plain, row(plain, "pytorch"), row(plain, "keras"))
    found = same_images.paired_test(judge(plain, of)[0], turned)
    assert found is not None
    assert (found.only_first, found.only_second) == (10, 30)


def test_a_result_without_kept_pairs_says_so() -> None:
    of = study()
    plain = summary(of, ACCURACIES)
    (told,) = same_images.section([chapter(of, plain.model_copy(update={"agreement": None}))])
    assert told == "**On the same test images.** Answers image by image were not compared in test."


def test_no_verdict_no_test_and_of_one_seed_alone() -> None:
    of = study(images=10**6)
    plain = summary(of, ACCURACIES)
    keras, pytorch = row(plain, "keras"), row(plain, "pytorch")
    assert list(same_images.section([chapter(of, compared(plain, keras, pytorch))])) == []
    other = next(
        i for i, one in enumerate(plain.rows) if (one.arm, one.framework, one.seed) == ("idiomatic", "pytorch", 1)
    )
    assert same_images.paired_test(judge(plain, study())[0], compared(plain, keras, other)) is None
