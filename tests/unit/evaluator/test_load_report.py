import json
import re
from statistics import median

import pytest

from core.schemas.loads import Load
from core.schemas.summary import Summary
from evaluator import text
from evaluator.report import charts, load_charts, load_tables, quality_charts, quality_tables
from evaluator.report.cards import card
from evaluator.report.columns import columns
from evaluator.report.html import describe_load, render
from evaluator.report.markdown import to_markdown
from evaluator.summary import summarise
from tests.unit.evaluator.builder import Experiment


def summary_of(**given: object) -> Summary:
    one = Experiment(seeds=(0,), arms=("matched",), frameworks=("keras", "pytorch"), images=60, **given)
    return summarise(one.spec, one.results, one.probabilities, one.labels)


@pytest.fixture(scope="module")
def swept() -> Summary:
    return summary_of(repeats=3, rates=(100.0, 300.0, 700.0, 1100.0))


def test_every_artefact_has_a_line_over_percentiles_that_its_queries_reach(swept: Summary) -> None:
    traces = load_charts.percentiles(swept)["data"]
    assert len(traces) == 5
    assert load_charts.percentiles(swept)["layout"]["yaxis"]["title"]["text"] == "Latency, ms, repeats pooled"
    assert traces[0]["customdata"][-1] == "99.95"  # Six thousand queries say nothing about p99.99.
    assert {trace["line"]["dash"] for trace in traces} == {"solid", "dot", "dash"}


def test_the_legend_tells_lines_of_one_framework_apart(swept: Summary) -> None:
    keys = charts.legend(load_charts.percentiles(swept))
    assert len({(key.color, key.dashes) for key in keys}) == len(keys) == 5
    training = charts.legend(charts.curves(swept.trainings, "validation_loss"))
    assert [key.dashes for key in training] == [None, None]  # Colour says it all.
    page = render(swept, (), {}, {})
    assert page.count('<svg class="line"') >= 10


def test_a_saturation_curve_has_its_rates_in_order_and_the_bound_drawn_in(swept: Summary) -> None:
    *curves, bound = load_charts.saturation(swept)["data"]
    assert curves[0]["x"] == [100, 300, 700, 1100]
    assert (bound["y"], bound["x"]) == ([20, 20], [0, 1100])
    table = load_tables.saturation(swept)
    assert [row[2] for row in table.rows] == ["20.0 ms"] * 5
    assert any(row[3].endswith("/s") for row in table.rows)
    assert {row[6] for row in table.rows} == {"4, too few for a curve (at least 6)"}


def test_points_that_do_not_count_are_hollow_and_say_so(swept: Summary) -> None:
    curve = swept.saturation[0]
    spoiled = curve.points[0].model_copy(update={"problems": ("late",)})
    changed = curve.model_copy(update={"points": (spoiled, *curve.points[1:])})
    trace = load_charts.saturation(swept.model_copy(update={"saturation": (changed,)}))["data"][0]
    assert trace["marker"]["symbol"] == ["circle-open", "circle", "circle", "circle"]
    assert trace["customdata"][0][1] == "does not count: the generator was late"


def test_the_table_shows_settings_repeats_and_what_the_server_spent(swept: Summary) -> None:
    table = load_tables.loads(swept)
    for header in ("Test", "p99 of repeats", "p99 at most", "CPU per image", "Sent late"):
        assert header in table.headers
    first = dict(zip(table.headers, table.rows[0], strict=True))
    assert (first["Test"], first["CPU per image"], first["Sent late"]) == ("closed, 8 users", "0.400", "–")
    assert re.fullmatch(r"[\d.]+–[\d.]+", first["p99 of repeats"])


def test_the_table_of_load_tests_pools_the_repeats_and_says_so(swept: Summary) -> None:
    table, load = load_tables.loads(swept), swept.loads[0]
    first = dict(zip(table.headers, table.rows[0], strict=True))
    assert (first["Queries"], first["p99"]) == ("6,000", text.significant(load.latency_ms.p99))
    assert "the queries of all repeats pooled (elsewhere: the median of the repeats)" in table.caption
    once = swept.model_copy(update={"loads": swept.loads[-1:]})
    assert "pooled" not in load_tables.loads(once).caption


def test_queries_are_all_and_where_some_failed_the_answered_ones_stand_beside_them(swept: Summary) -> None:
    assert "Answered" not in load_tables.loads(swept).headers
    failing = swept.loads[0].model_copy(update={"errors": {"UNAVAILABLE": 500}})
    table = load_tables.loads(swept.model_copy(update={"loads": (failing, *swept.loads[1:])}))
    first = dict(zip(table.headers, table.rows[0], strict=True))
    assert (first["Queries"], first["Answered"]) == ("6,500", "6,000")


def test_charts_show_the_median_of_the_repeats(swept: Summary) -> None:
    load = swept.rows[0].load
    assert load is not None
    p99, p50 = charts.latency(swept)["data"]
    assert p99["x"][0] == median(run.p99 for run in load.runs) != load.latency_ms.p99
    assert p50["x"][0] == median(run.p50 for run in load.runs)
    assert charts.throughput(swept)["data"][0]["x"][0] == median(run.throughput for run in load.runs)
    assert min(quality_charts.trade_offs(swept)["data"][0]["x"]) in [
        median(row.load.p99_runs) for row in swept.rows if row.load
    ]


def test_the_tests_of_an_artefact_stand_together_by_rate(swept: Summary) -> None:
    rows = load_tables.loads(swept).rows
    subjects = [row[:2] for row in rows]
    assert len(set(subjects)) == 5
    assert all(subjects[start : start + 5] == [subjects[start]] * 5 for start in range(0, len(rows), 5))
    closed, *rates = [row[2] for row in rows[:5]]
    assert "closed" in closed
    assert [re.findall(r"\d+", rate) for rate in rates] == [["100"], ["300"], ["700"], ["1100"]]


def test_the_page_holds_both_charts_and_the_table_of_the_verdict_only_the_common_test(swept: Summary) -> None:
    page = render(swept, (), {}, {})
    figures = json.loads(re.search(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)[1])
    assert {"percentiles", "saturation"} <= figures.keys()
    assert {row.load.label for row in swept.rows if row.load} == {"closed, 8 users"}
    assert "3 repeats, interleaved" in describe_load(swept)
    assert "## Saturation" in to_markdown(swept)


def test_without_a_sweep_there_is_no_saturation() -> None:
    plain = summary_of()
    assert "saturation" not in load_charts.figures(plain)
    assert "## Saturation" not in to_markdown(plain)


def test_the_leaderboard_has_the_servers_cpu_time_where_it_was_told(swept: Summary) -> None:
    by_title = {column.title: column for column in columns(swept.rows)}
    assert by_title["CPU"].show(swept.rows[0]) == "0.400 ms"
    silent = [
        row.model_copy(update={"load": row.load and row.load.model_copy(update={"cpu_ms": None, "runs": ()})})
        for row in swept.rows
    ]
    assert "CPU" not in [column.title for column in columns(silent)]


def short(summary: Summary, queries: int) -> Summary:
    """The summary as if every load test, and every repeat of one, had had so many queries."""

    def changed(load: Load) -> Load:
        runs = tuple(run.model_copy(update={"requests": queries}) for run in load.runs)
        return load.model_copy(update={"requests": queries, "runs": runs})

    loads = tuple(map(changed, summary.loads))
    rows = tuple(row.model_copy(update={"load": row.load and changed(row.load)}) for row in summary.rows)
    return summary.model_copy(update={"loads": loads, "rows": rows})


def test_percentiles_beyond_what_the_queries_support_are_marked_and_explained(swept: Summary) -> None:
    few = short(swept, 100)
    table = load_tables.loads(few)
    first = dict(zip(table.headers, table.rows[0], strict=True))
    assert first["Supports"] == "p95"
    assert [name for name, cell in first.items() if cell.endswith(" †")] == ["p99", "p99.9"]
    assert "those marked † are beyond it" in table.caption
    assert "† More than the number of queries supports at 99% confidence." in to_markdown(few)
    page = render(few, (), {}, {})
    assert quality_tables.trade_offs(few).rows == ()
    assert len(re.findall('class="num weak"', page)) == 2 * len(few.loads)
    assert "100 queries support p95 at most" in card(few.rows[0], few)
    assert "100 queries support p95 at most" in page


def test_supported_percentiles_carry_no_mark(swept: Summary) -> None:
    plenty = short(swept, 4603)
    table = load_tables.loads(plenty)
    assert {dict(zip(table.headers, row, strict=True))["Supports"] for row in table.rows} == {"p99.9"}
    assert "†" not in table.caption + str(table.rows) + to_markdown(plenty)
