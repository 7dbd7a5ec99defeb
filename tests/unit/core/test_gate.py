from typing import Any
from xml.etree import ElementTree

import pydantic
import pytest

from core.gate import check, junit_xml
from core.schemas.gates import Gates
from core.schemas.results import LoadTestResult
from core.schemas.summary import Summary
from evaluator.summary import summarise
from tests.unit.evaluator.builder import Experiment


@pytest.fixture(scope="module")
def summary() -> Summary:
    one = Experiment(seeds=(0, 1), arms=("matched",), frameworks=("keras", "pytorch"))
    return summarise(one.spec, one.results, one.probabilities, one.labels)


def gates(*rules: dict[str, Any], **options: Any) -> Gates:
    return Gates.model_validate({"rules": list(rules), **options})


def test_bounds_hold_with_their_ends_included(summary: Summary) -> None:
    lowest = min(row.accuracy for row in summary.rows if row.accuracy is not None)
    assert all(one.passed for one in check(summary, gates({"metric": "accuracy", "min": lowest})))
    above = check(summary, gates({"metric": "accuracy", "min": lowest + 1e-9}))
    failed = [one for one in above if not one.passed]
    assert failed
    assert "below the minimum" in failed[0].message


def test_a_rule_judges_every_row_in_which_its_figure_was_measured(summary: Summary) -> None:
    found = check(summary, gates({"metric": "p99_ms", "max": 1e6}))
    assert len(found) == 1 + sum(row.load is not None for row in summary.rows)


def test_a_rule_for_the_recommended_artefact_judges_that_one(summary: Summary) -> None:
    _, only = check(summary, gates({"metric": "size_bytes", "max": 10**9, "of": "recommended"}))
    assert summary.verdict.row is not None
    assert only.artefact == summary.rows[summary.verdict.row].label


def test_where_narrows_a_rule(summary: Summary) -> None:
    found = check(summary, gates({"metric": "accuracy", "min": 0, "where": {"framework": "keras", "format": "onnx"}}))
    assert [one.artefact.split("/")[0] for one in found[1:]] == ["matched keras s0 onnx", "matched keras s1 onnx"]


def test_a_rule_that_finds_nothing_to_judge_fails(summary: Summary) -> None:
    nobody = check(summary, gates({"metric": "accuracy", "min": 0, "where": {"framework": "fastai"}}))[-1]
    assert not nobody.passed
    assert "has no row" in nobody.message
    unmeasured = check(summary, gates({"metric": "p99_ms", "max": 9e9, "where": {"seed": 1}}))[-1]
    assert not unmeasured.passed
    assert "was not measured" in unmeasured.message


def test_a_contended_load_test_does_not_count(summary: Summary) -> None:
    rows = tuple(
        row.model_copy(update={"load": row.load.model_copy(update={"contended": True})}) if row.load else row
        for row in summary.rows
    )
    assert not check(summary.model_copy(update={"rows": rows}), gates({"metric": "p99_ms", "max": 1e6}))[-1].passed


def queried(summary: Summary, requests: int) -> Summary:
    """The summary as if every load test had had so many queries."""
    rows = tuple(
        row.model_copy(
            update={
                "load": row.load.model_copy(
                    update={
                        "requests": requests,
                        "errors": {},
                        "runs": tuple(run.model_copy(update={"requests": requests}) for run in row.load.runs),
                    }
                )
            }
        )
        if row.load
        else row
        for row in summary.rows
    )
    return summary.model_copy(update={"rows": rows})


@pytest.mark.parametrize(("metric", "needed"), [("p50_ms", 7), ("p99_ms", 459), ("p999_ms", 4603)])
def test_a_percentile_that_its_queries_do_not_support_fails_and_says_how_many_it_takes(
    summary: Summary, metric: str, needed: int
) -> None:
    rule = {"metric": metric, "max": 1e6}
    assert check(queried(summary, needed), gates(rule))[-1].passed
    few = check(queried(summary, needed - 1), gates(rule))[-1]
    assert not few.passed
    assert f"of {needed - 1:,} queries, too few to say so: it takes {needed:,}; measure longer" in few.message
    assert "too few" in junit_xml((few,), "digits")
    allowed = check(queried(summary, needed - 1), gates({**rule, "unsupported": "allow"}))[-1]
    assert allowed.passed
    assert "too few" in allowed.message
    assert "too few" in junit_xml((allowed,), "digits")
    above = check(queried(summary, needed - 1), gates({"metric": metric, "max": 0, "unsupported": "allow"}))[-1]
    assert not above.passed


def test_figures_of_the_few_that_were_answered_do_not_pass_where_the_others_failed(summary: Summary) -> None:
    rows = tuple(
        row.model_copy(
            update={"load": row.load.model_copy(update={"requests": 1000, "errors": {"RESOURCE_EXHAUSTED": failed}})}
        )
        if row.load
        else row
        for row, failed in zip(summary.rows, [3000, *[1] * len(summary.rows)], strict=False)
    )
    full = summary.model_copy(update={"rows": rows})
    for metric in ("p99_ms", "throughput"):
        first, second, *_ = check(full, gates({"metric": metric, "min": 0}))[1:]
        assert not first.passed
        assert (
            "of the answered requests, but 75.00% failed (RESOURCE_EXHAUSTED 3,000); at most 0.1% may" in first.message
        )
        assert second.passed
    share, *_ = check(full, gates({"metric": "failed_share", "max": 0.8}))[1:]
    assert share.passed


def test_parity_takes_the_worse_of_export_and_serving(summary: Summary) -> None:
    assert all(one.passed for one in check(summary, gates({"metric": "parity_disagreements", "max": 0})))
    index = next(i for i, row in enumerate(summary.rows) if row.parity)
    row = summary.rows[index]
    assert row.parity is not None
    worse = row.model_copy(update={"parity": row.parity.model_copy(update={"disagreements": 2})})
    rows = tuple(worse if i == index else one for i, one in enumerate(summary.rows))
    failed = [
        one
        for one in check(summary.model_copy(update={"rows": rows}), gates({"metric": "parity_disagreements", "max": 0}))
        if not one.passed
    ]
    assert [(one.artefact, one.value) for one in failed] == [(row.label, 2)]


def test_an_incomplete_report_fails_unless_that_is_allowed(summary: Summary) -> None:
    broken = summary.model_copy(update={"missing": ("train keras: lost",)})
    rule = {"metric": "accuracy", "min": 0}
    assert "train keras: lost" in check(broken, gates(rule))[0].message
    assert all(one.passed for one in check(broken, gates(rule, allow_incomplete=True)))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"metric": "acuracy", "min": 1}, "unknown metric; known: accuracy"),
        ({"metric": "accuracy"}, "needs min, max or both"),
        ({"metric": "accuracy", "min": 1, "max": 0}, "min 1 lies above max 0"),
        ({"metric": "accuracy", "mim": 1}, "mim"),
        ({"metric": "accuracy", "min": 1, "where": {"framework": "caffe"}}, "framework"),
    ],
)
def test_a_wrong_rule_says_what_is_wrong(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        gates(rule)


def test_junit_counts_checks_and_names_failures(summary: Summary) -> None:
    broken = summary.model_copy(update={"missing": ("lost <&> \x00",)})
    checks = check(broken, gates({"metric": "accuracy", "min": 0, "where": {"seed": 0, "format": "onnx"}}))
    suite = ElementTree.fromstring(junit_xml(checks, "digits")).find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    assert len(suite.findall("testcase")) == 3
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "missing: lost <&> ?"


def test_an_artefact_none_of_whose_rates_held_the_bound_fails_a_gate_on_its_best_rate() -> None:
    one = Experiment(seeds=(0,), arms=("matched",), frameworks=("keras",), rates=(50.0, 100.0))
    slow = next(r.spec.model for r in one.results if isinstance(r, LoadTestResult) and r.spec.rate)
    results = [
        r.model_copy(update={"over_bound": 1_000})
        if isinstance(r, LoadTestResult) and r.spec.rate and r.spec.model == slow
        else r
        for r in one.results
    ]
    found = summarise(one.spec, results, one.probabilities, one.labels)
    assert {row.best_rate for row in found.rows if row.model == slow} == {0}
    (failed,) = [one for one in check(found, gates({"metric": "best_rate", "min": 1})) if not one.passed]
    assert failed.message == "best_rate is 0 queries/s (no rate measured held the bound), below the minimum of 1"


def test_an_artefact_that_was_not_swept_has_no_best_rate_to_gate(summary: Summary) -> None:
    assert {row.best_rate for row in summary.rows} == {None}
    assert "was not measured" in check(summary, gates({"metric": "best_rate", "min": 1}))[-1].message


def test_server_cpu_and_the_highest_rate_within_the_bound_can_be_gated() -> None:
    one = Experiment(seeds=(0,), arms=("matched",), frameworks=("keras",), rates=(50.0, 100.0))
    swept = summarise(one.spec, one.results, one.probabilities, one.labels)
    _, *cpu = check(swept, gates({"metric": "cpu_ms", "max": 0.39}))
    assert [(found.value, found.passed) for found in cpu] == [(pytest.approx(0.4), False)] * 3
    _, *rate = check(swept, gates({"metric": "best_rate", "min": 100}))
    measured = [curve.best_rate for curve in swept.saturation]
    assert sorted(found.value or 0 for found in rate) == sorted(best or 0 for best in measured)
    assert [found.passed for found in rate] == [(found.value or 0) >= 100 for found in rate]
    assert {found.message for found in rate if found.passed} == {"best_rate is 100 queries/s"}
