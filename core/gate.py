"""Holds a summary against rules.

Pure functions over one document, in core and not behind a service: a pipeline has the summary and the rules, and
nothing running that could be asked.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

from core import percentiles
from core.measures import ERRORS_ALLOWED, MEASURES, Measure
from core.schemas.gates import Gates, Rule
from core.schemas.summary import Row, Summary

UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold."""


@dataclass(frozen=True)
class Check:
    """One rule on one artefact."""

    rule: str
    artefact: str
    """Label of the row; empty where the rule found none."""
    value: float | None
    passed: bool
    message: str
    """The figure against its bound."""


def check(summary: Summary, gates: Gates) -> tuple[Check, ...]:
    """Every rule on every row it is about; a rule that finds nothing to judge fails."""
    found = [one for rule in gates.rules for one in _apply(summary, rule)]
    if not gates.allow_incomplete:
        found.insert(0, _completeness(summary))
    return tuple(found)


def junit_xml(checks: tuple[Check, ...], experiment: str) -> str:
    """The checks as a JUnit test suite, the format CI systems show."""
    failures = sum(not one.passed for one in checks)
    counts = {"tests": str(len(checks)), "failures": str(failures), "errors": "0"}
    suites = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": f"bakeoff gate {experiment}", **counts})
    for one in checks:
        name = f"{one.rule}: {one.artefact}" if one.artefact else one.rule
        case = ElementTree.SubElement(suite, "testcase", {"classname": f"bakeoff.{experiment}", "name": _clean(name)})
        if not one.passed:
            ElementTree.SubElement(case, "failure", {"message": _clean(one.message)}).text = _clean(one.message)
        else:
            ElementTree.SubElement(case, "system-out").text = _clean(one.message)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _completeness(summary: Summary) -> Check:
    missing = "; ".join(summary.missing)
    return Check("the report is complete", "", None, summary.complete, f"missing: {missing}" if missing else "complete")


def _apply(summary: Summary, rule: Rule) -> Iterator[Check]:
    measure = MEASURES[rule.metric]
    rows = [row for row in _subjects(summary, rule) if _matches(row, rule)]
    measured = [(row, value) for row in rows if (value := measure.get(row)) is not None]
    if not measured:
        what = "was not measured in a way that counts" if rows else "has no row to be read from"
        yield Check(
            rule.name, "", None, False, f"{rule.metric} {what}; run the step that measures it, or drop the rule"
        )
    for row, value in measured:
        yield _judge(rule, row, value, measure)


def _judge(rule: Rule, row: Row, value: float, measure: Measure) -> Check:
    shown = f"{rule.metric} is {value:.6g}{f' {measure.unit}' if measure.unit else ''}"
    if value == 0 and measure.zero:
        shown += f" ({measure.zero})"
    if measure.percentile is not None and row.load is not None and not row.load.supports(measure.percentile):
        needed = percentiles.queries_needed(measure.percentile)
        each = " a repeat" if len(row.load.runs) > 1 else ""
        shown += f" of {row.load.least_queries:,} queries{each}, too few to say so: it takes {needed:,}"
        if rule.unsupported == "fail":
            remedy = f"measure longer (loadtest: min_queries: {needed}), or let the rule allow it (unsupported: allow)"
            return Check(rule.name, row.label, value, False, f"{shown}; {remedy}")
    if measure.of_answered and row.load is not None and row.load.error_share > ERRORS_ALLOWED:
        codes = ", ".join(f"{code} {count:,}" for code, count in row.load.errors.items())
        shown += f" of the answered requests, but {row.load.error_share:.2%} failed ({codes})"
        remedy = f"at most {ERRORS_ALLOWED:.1%} may: lower the load, or find out why they fail"
        return Check(rule.name, row.label, value, False, f"{shown}; {remedy}")
    if rule.min is not None and value < rule.min:
        return Check(rule.name, row.label, value, False, f"{shown}, below the minimum of {rule.min:g}")
    if rule.max is not None and value > rule.max:
        return Check(rule.name, row.label, value, False, f"{shown}, above the maximum of {rule.max:g}")
    return Check(rule.name, row.label, value, True, shown)


def _subjects(summary: Summary, rule: Rule) -> tuple[Row, ...]:
    if rule.of == "every":
        return summary.rows
    return () if summary.verdict.row is None else (summary.rows[summary.verdict.row],)


def _matches(row: Row, rule: Rule) -> bool:
    return all(getattr(row, key) == value for key, value in rule.where.model_dump(exclude_none=True).items())


def _clean(text: str) -> str:
    return UNPRINTABLE.sub("?", text)
