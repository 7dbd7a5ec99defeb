"""The study's claims in an experiment's own report, on synthetic summaries: TEST DATA, no figure here was measured."""

import json
from collections.abc import Sequence

import pytest

from core.schemas.experiment import Experiment
from core.schemas.study import Claim, Side, Study
from core.schemas.summary import Summary
from evaluator.claims import own as judging
from evaluator.report import claims
from evaluator.report.html import render
from evaluator.report.markdown import to_markdown
from evaluator.summary import summarise
from tests.unit.evaluator.builder import Experiment as Synthetic
from tests.unit.evaluator.claims.test_judge import CLEAR, EPOCHS, SAME, claim, judge, study, summary

UNAVAILABLE = Claim(text="Pretrained.", first=Side(framework="keras", epochs=EPOCHS), unavailable="weights unavailable")


def both(whole: Summary) -> tuple[str, str]:
    """Page and Markdown."""
    return render(whole, (), {}, {}), to_markdown(whole)


def test_a_claim_has_its_published_figures_what_was_measured_a_verdict_and_why() -> None:
    of = study(claim(reason="One had dropout."))
    page, markdown = both(summary(of, CLEAR))
    assert 'href="#claims"' in page
    assert page.index('<section id="claims"') < page.index('<section id="results"')
    assert "Published: Keras 98.00% · PyTorch 97.00%" in page
    for words in (
        "<b>holds</b>",
        "Keras idiomatic 98.10%",
        "One had dropout.",
        "1,440 training images, 4",
        " epochs, 3 seeds",
    ):
        assert words in page
    assert "## The study’s claims" in markdown
    assert markdown.index("## Verdict") < markdown.index("## The study’s claims") < markdown.index("## Results")
    assert "| Keras is better. | Keras 98.00% · PyTorch 97.00% | idiomatic | Keras idiomatic 98.10%" in markdown
    assert "- Keras is better. One had dropout." in markdown


@pytest.mark.parametrize("accuracies", [CLEAR, SAME])
def test_verdicts_are_those_of_the_studies_page(accuracies: dict[str, Sequence[float]]) -> None:
    of = study(claim(), UNAVAILABLE)
    whole = summary(of, accuracies)
    assert list(judging.judged(whole)) == judge(whole, of)


def test_without_a_study_there_is_no_section() -> None:
    whole = summary(study(), CLEAR)
    frozen = Experiment.model_validate_json(whole.spec_json).model_copy(update={"study": None})
    for spec in (frozen.model_dump_json(), "{}"):
        page, markdown = both(whole.model_copy(update={"spec_json": spec}))
        assert "#claims" not in page
        assert "study’s claims" not in markdown


def test_a_file_that_an_earlier_version_froze_costs_the_section_and_not_the_report() -> None:
    whole = summary(study(), CLEAR)
    document = {**json.loads(whole.spec_json), "key_of_an_earlier_version": 1}
    page, _ = both(whole.model_copy(update={"spec_json": json.dumps(document)}))
    assert "#claims" not in page


@pytest.mark.parametrize("mode", ["idiomatic", "matched"])
def test_a_study_may_have_arms_of_one_mode_alone(mode: str) -> None:
    sides = {
        side: Side(framework=framework, arms=(mode,), epochs=EPOCHS)
        for side, framework in (("first", "keras"), ("second", "pytorch"))
    }
    of = study(claim(**sides))
    page, markdown = both(summary(of, CLEAR))
    assert page.count("<b>holds</b>") == 1
    assert f"<dt>{mode}</dt>" in page
    assert "Published:" not in page
    assert f"| Keras is better. | – | {mode} | " in markdown


def test_one_seed_has_figures_and_no_verdict() -> None:
    whole = summary(study(), {name: values[:1] for name, values in CLEAR.items()}, seeds=(0,))
    page, _ = both(whole)
    assert "<b>not tested at this scale</b>" in page
    assert "one seed: no interval" in page
    assert "1 of the 3 seeds a verdict needs" in page
    assert " epochs, 1 seed<" in page


def test_seeds_without_spread_have_no_verdict() -> None:
    page, _ = both(summary(study(), {"keras": [0.98] * 3, "pytorch": [0.97] * 3}))
    assert page.count("<b>cannot be tested</b>") == 2
    assert page.count("the same difference in every seed") >= 2


def test_a_training_that_failed_on_one_side_leaves_the_other_sides_figure() -> None:
    whole = summary(study(), CLEAR)
    left = {"groups": [g for g in whole.groups if g.framework == "keras"]}
    left["trainings"] = [t for t in whole.trainings if t.framework == "keras"]
    page, _ = both(whole.model_copy(update={name: tuple(values) for name, values in left.items()}))
    assert page.count("<b>not tested at this scale</b>") == 2
    assert "0 of the 3 seeds a verdict needs" in page
    assert "Keras idiomatic 98.10%" in page


def test_what_was_not_reproduced_says_why_and_has_no_mode() -> None:
    of = study(claim(), UNAVAILABLE)
    page, markdown = both(summary(of, CLEAR))
    assert "<b>not reproduced: weights unavailable</b>" in page
    assert "| Pretrained. | – | – | – | – | not reproduced: weights unavailable | weights unavailable | – |" in markdown


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, "Keras 98.00% · PyTorch 97.00%"),
        ({"first": claim().first.model_copy(update={"bound": True})},
         "Keras 98.00% (a bound or a range) · PyTorch 97.00%"),
        ({"second": claim().first.model_copy(update={"published": None})}, "Keras 98.00%"),
        ({"second": None}, "Keras 98.00%"),
        ({"measure": "training_seconds", "first": claim().first.model_copy(update={"published": 900.0}),
          "second": None}, "Keras 15 min 00 s"),
        ({"first": UNAVAILABLE.first, "second": None}, "–"),
    ],
)  # fmt: skip
def test_published_figures_are_written_in_their_unit(changes: dict[str, object], shown: str) -> None:
    assert claims.published(claim(**changes)) == shown


def test_a_claim_that_stands_for_another_shows_its_published_difference() -> None:
    assert claims.published(claim(first=UNAVAILABLE.first, second=None), 0.0125) == (
        "+1.25 points, of sides that were not alike"
    )


def test_the_terminal_has_a_line_for_each_verdict_and_counts_the_rest() -> None:
    findings = judging.judged(summary(study(claim(), UNAVAILABLE), CLEAR))
    assert judging.lines(findings) == (
        "Keras is better: holds (idiomatic); holds (matched)",
        "Pretrained: not reproduced: weights unavailable",
    )
    few = judging.judged(summary(study(), {name: values[:1] for name, values in CLEAR.items()}, seeds=(0,)))
    assert judging.lines(few) == ("without a verdict: 2 of 2 rows; the report says why",)
    assert judging.lines(()) == ()


def test_the_summary_of_a_study_has_its_lines() -> None:
    spec_json = summary(study(images=10**6), CLEAR).spec_json
    one = Synthetic(frameworks=("keras", "pytorch"), epochs=EPOCHS, load_tests=False)
    spec = one.spec.model_copy(update={"spec_json": spec_json})
    found = summarise(spec, one.results, one.probabilities, one.labels)
    assert found.claims == ("without a verdict: 2 of 2 rows; the report says why",)
    assert summarise(one.spec, one.results, one.probabilities, one.labels).claims == ()


def test_names_from_outside_are_text_in_both() -> None:
    hostile = '<img src=x onerror="alert(1)">|'
    of: Study = study(claim(text=hostile, reason=hostile))
    page, markdown = both(summary(of, CLEAR))
    assert "<img src=x" not in page
    assert "<img" not in markdown.replace("\\<img", "")
