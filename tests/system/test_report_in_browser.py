"""The report in real Chromium, from synthetic results: TEST DATA, nothing in it was measured."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, ViewportSize, sync_playwright

from evaluator import report
from tests.system.browser import ARGUMENTS, CHROMIUM, Watch, scroll_through
from tests.unit.evaluator.builder import Experiment

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed: apt-get install chromium"),
]

EXPERIMENTS = {
    "full": Experiment(calibrated=True, corrupted=True),
    "one": Experiment(arms=("matched",), frameworks=("keras",), seeds=(0,), load_tests=False),
    "failed": Experiment(seeds=(0,), frameworks=("keras", "pytorch"), missing=("train fastai seed 0: lost (memory)",)),
    "binary": Experiment(
        classes=("NORMAL", "PNEUMONIA"), images=624, arms=("matched",), seeds=(0,), skill=0.9, calibrated=True
    ),
    "asl": Experiment(classes=tuple(f"letter {n}" for n in range(29)), images=870, arms=("matched",), seeds=(0,)),
    "rows": Experiment(arms=("matched", "idiomatic", "matched-large"), seeds=(0, 1)),
    "swept": Experiment(
        arms=("matched",), frameworks=("keras", "pytorch"), seeds=(0,), repeats=3, rates=(50, 100, 200, 400, 800, 1600)
    ),
    "nothing": Experiment(arms=(), missing=("prepare: folder not found",)),
}
MANY = {"arms": ("matched", "idiomatic", "matched-large"), "seeds": range(24), "classes": ("a", "b"), "images": 200}
"""More than three hundred rows. Of few classes: figures of a class take longest to compute."""
LARGEST_PAGE = 12 << 20
"""Bytes a report of that many rows may have, the 4.6 MB of Plotly included."""
CHARTS_FIT = """() => [...document.querySelectorAll('.chart .main-svg')].every(
    svg => svg.getBoundingClientRect().right <= svg.closest('.chart').getBoundingClientRect().right + 1)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports")
    for name, one in EXPERIMENTS.items():
        report.write(one.spec, one.results, one.probabilities, one.test, one.samples(), folder / name)
    return folder


@pytest.fixture
def opened(browser: Browser, reports: Path) -> Iterator[Any]:
    """Opens a report; afterwards nothing may have been logged and nothing fetched from anywhere."""
    watch, contexts = Watch(), []

    def open_report(name: str, width: int = 1440, scheme: Any = "light") -> Page:
        context = browser.new_context(viewport=ViewportSize(width=width, height=900), color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        watch.on(page)
        page.goto((reports / name / "report.html").as_uri())
        return page

    yield open_report
    for context in contexts:
        context.close()
    assert watch.complaints == []
    assert [url for url in watch.requests if not url.startswith(("file:", "data:", "blob:"))] == []


def column(page: Page, title: str) -> list[str]:
    """The values of a column of the verdict table, from top to bottom."""
    headers = [text.strip(" ↑↓") for text in page.locator("#verdict-table thead th").all_inner_texts()]
    cells = page.locator(f"#verdict-table tbody tr > :nth-child({headers.index(title) + 1})")
    return [value or "" for value in cells.evaluate_all("cells => cells.map(cell => cell.dataset.value)")]


def header(page: Page, title: str) -> Locator:
    """The header cell of a column of the verdict table."""
    return page.locator("#verdict-table thead th", has=page.get_by_role("button", name=title, exact=True))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_report_draws_its_charts_and_fits_a_screen_a_tablet_and_a_phone(opened: Any, name: str) -> None:
    page = opened(name)
    scroll_through(page)
    assert page.locator(".chart:visible").count() == page.locator(".chart:visible:has(.main-svg)").count()
    for width in (1440, 820, 390):
        page.set_viewport_size(ViewportSize(width=width, height=900))
        page.wait_for_function(CHARTS_FIT)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_report_opened_on_a_phone_fits_it(opened: Any) -> None:
    page = opened("full", 390)
    scroll_through(page)
    page.wait_for_function(CHARTS_FIT)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_press_on_a_heading_sorts_the_best_first_and_a_second_press_turns_the_order(opened: Any) -> None:
    page = opened("full")
    accuracy = header(page, "Accuracy")
    accuracy.get_by_role("button").click()
    values = [float(value) for value in column(page, "Accuracy")]
    assert values == sorted(values, reverse=True)
    assert accuracy.get_attribute("aria-sort") == "descending"
    accuracy.get_by_role("button").click()
    assert [float(value) for value in column(page, "Accuracy")] == sorted(values)


def test_rows_without_a_figure_stay_last_in_either_order(opened: Any) -> None:
    page = opened("full")
    for _ in range(2):
        header(page, "p99").get_by_role("button").click()
        values = column(page, "p99")
        assert len([value for value in values if value]) == 18
        assert not any(values[18:])


def test_the_table_sorts_by_keyboard_alone(opened: Any) -> None:
    page = opened("full")
    size = header(page, "Size")
    size.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert size.get_by_role("button").evaluate("button => button.matches(':focus-visible')")
    assert size.get_by_role("button").evaluate("button => getComputedStyle(button).outlineStyle") == "solid"
    ascending = column(page, "Size")
    assert ascending == sorted(ascending, key=float)
    page.keyboard.press("Space")
    assert size.get_attribute("aria-sort") == "descending"
    assert column(page, "Size") == sorted(ascending, key=float, reverse=True)


def test_typing_keeps_the_rows_whose_words_begin_so_and_escape_brings_all_back(opened: Any) -> None:
    page = opened("full")
    rows, box = page.locator("#verdict-table tbody tr:visible"), page.get_by_role("searchbox", name="Filter")
    everything = rows.count()
    box.fill("Keras ONNX")
    assert rows.count() == 6
    assert page.locator("#filter-count").inner_text() == f"6 of {everything} rows"
    box.fill("keras onnx idio s1")
    assert rows.count() == 1
    box.fill("nothing of that kind")
    assert rows.count() == 0
    header(page, "Accuracy").get_by_role("button").click()
    box.press("Escape")
    assert rows.count() == everything
    assert box.input_value() == ""


def test_every_chart_opens_as_a_table_by_keyboard_with_the_values_it_draws(opened: Any) -> None:
    page = opened("full")
    charts = page.locator(".chart-card:visible")
    for index in range(charts.count()):
        details = charts.nth(index).locator("details.values")
        details.locator("summary").focus()
        page.keyboard.press("Enter")
        details.locator("table tbody tr").first.wait_for()
    shown = page.locator('details.values[data-of="throughput"] tbody tr')
    assert shown.count() == 18
    largest = max(float(text) for text in shown.locator("td.num").all_inner_texts())
    assert largest == pytest.approx(max(float(value) for value in column(page, "Throughput") if value), rel=1e-4)


def test_the_values_of_a_chart_are_what_people_read_and_not_what_it_is_drawn_with(opened: Any) -> None:
    page = opened("swept")

    def values(chart: str) -> list[list[str]]:
        details = page.locator(f'details.values[data-of="{chart}"]')
        details.locator("summary").click()
        details.locator("tbody tr").first.wait_for()
        return [row.locator("td").all_inner_texts() for row in details.locator("tbody tr").all()]

    assert {"25", "50", "90", "99", "99.9"} <= {percentile for _, percentile, _ in values("percentiles")}
    artefacts = [name for name, *_ in values("trade-off")]
    assert len(set(artefacts)) == len(artefacts) > 2
    assert all("iB" in name for name in artefacts)
    shares: defaultdict[str, float] = defaultdict(float)
    for true, _, _, share in values("matrix-0"):
        shares[true] += float(share.rstrip("%"))
    assert all(total == pytest.approx(100, abs=0.5) for total in shares.values())
    rates = {rate for _, rate, _ in values("saturation")}
    assert {"50", "100", "200", "400", "800", "1600"} <= rates


def test_a_chart_as_a_table_has_named_columns_and_no_empty_name(opened: Any) -> None:
    page = opened("full")
    for details in page.locator("details.values:visible").all():
        details.locator("summary").click()
        details.locator("tbody tr").first.wait_for()
        chart = details.get_attribute("data-of")
        heads = details.locator("thead th").all_inner_texts()
        assert not {"", "x", "y", "Series", "Value"} & set(heads), chart
        assert len(heads) == len(set(heads))
        cells = details.locator("tbody tr").evaluate_all(
            "rows => rows.map(row => [...row.cells].map(c => c.textContent))"
        )
        assert all(len(row) == len(heads) and all(row) for row in cells), chart
    curves = page.locator('details.values[data-of="curves-0-accuracy"] tbody td:first-child').all_inner_texts()
    assert {"Keras, seed 0", "Keras, seed 1", "Keras, seed 2"} <= set(curves)
    throughput = page.locator('details.values[data-of="throughput"] thead th').all_inner_texts()
    assert throughput == ["Artefact", "Images per second"]


def test_the_verdict_table_fits_a_screen_of_1440_pixels_with_all_its_columns(opened: Any) -> None:
    page = opened("full")
    assert header(page, "CPU").count() == 1
    assert page.locator(".verdict").evaluate("frame => frame.scrollWidth <= frame.clientWidth")


def test_a_saturation_curve_tells_its_figures_on_hover_and_draws_the_bound(opened: Any) -> None:
    page = opened("swept")
    chart = page.locator("#saturation")
    chart.scroll_into_view_if_needed()
    chart.locator(".scatterlayer .point").first.wait_for()
    assert "bound 20.0 ms" in chart.locator(".annotation-text").first.text_content()
    chart.locator(".scatterlayer .point").first.hover(force=True)
    hover = chart.locator(".hoverlayer")
    hover.locator("text").first.wait_for()
    assert re.search(r"at 50/s: p99 .* ms", hover.text_content() or "")


def test_robustness_is_shown_only_where_it_was_measured(opened: Any) -> None:
    page = opened("full")
    assert page.locator("#robustness .chart:visible").count() == 4
    assert page.get_by_role("link", name="Robustness").count() == 1
    assert opened("one").locator("#robustness").count() == 0


def test_a_card_opens_with_its_tables_and_says_the_temperature(opened: Any) -> None:
    page = opened("full")
    card = page.locator("#cards details").first
    card.locator("summary").click()
    assert "Temperature" in card.inner_text()
    assert card.locator("h2", has_text="Intended use").is_visible()


def test_a_threshold_stands_beside_one_half(opened: Any) -> None:
    rows = opened("binary").locator("#thresholds-caption").locator("xpath=..").locator("tbody tr")
    assert rows.count() == 8


def test_a_report_of_three_hundred_rows_sorts_filters_and_draws_its_charts(opened: Any, reports: Path) -> None:
    many = Experiment(**MANY, epochs=4)
    summary = report.write(many.spec, many.results, many.probabilities, many.test, many.samples(), reports / "many")
    total = len(summary.rows)
    assert total >= 300
    assert (reports / "many" / "report.html").stat().st_size < LARGEST_PAGE
    page = opened("many")
    rows = page.locator("#verdict-table tbody tr:visible")
    assert rows.count() == total
    header(page, "Accuracy").get_by_role("button").click()
    values = [float(value) for value in column(page, "Accuracy")]
    assert len(values) == total
    assert values == sorted(values, reverse=True)
    page.get_by_role("searchbox", name="Filter").fill("keras onnx matched-large")
    assert rows.count() == 24
    assert page.locator("#filter-count").inner_text() == f"24 of {total} rows"
    for chart in ("seeds", "trade-off", "latency", "matrix-0"):
        page.locator(f"#{chart}").scroll_into_view_if_needed()
        page.locator(f"#{chart} .main-svg").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_names_sort_as_words(opened: Any) -> None:
    page = opened("full")
    header(page, "Framework").get_by_role("button").click()
    values = column(page, "Framework")
    assert values[0] == "fastai"
    assert values == sorted(values, key=str.lower)


def test_the_page_follows_the_system_until_the_reader_chooses(opened: Any) -> None:
    page = opened("one", scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.get_by_role("button", name="Change between light and dark").click()
    light = page.evaluate(background)
    assert dark != light
    page.reload()
    assert page.evaluate(background) == light, "the choice is kept"


def test_charts_change_colour_with_the_theme(opened: Any) -> None:
    page = opened("full")
    chart = page.locator("#latency")
    chart.scroll_into_view_if_needed()
    bar = chart.locator(".bars .point path").first
    bar.wait_for()
    before = bar.evaluate("path => getComputedStyle(path).fill")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        "before => getComputedStyle(document.querySelector('#latency .bars .point path')).fill !== before", arg=before
    )


def test_choosing_an_arm_shows_its_curves_and_hides_the_others(opened: Any) -> None:
    page = opened("full")
    page.locator('[data-chooser="curves"]').get_by_role("radio", name="matched", exact=True).focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#curves-0").is_hidden()
    page.locator("#curves-1 .main-svg").first.wait_for()


def test_choosing_an_artefact_shows_its_confusion_matrix(opened: Any) -> None:
    page = opened("full")
    choice = page.get_by_role("combobox", name="Artefact whose confusion matrix is shown")
    (chosen,) = choice.select_option(label="fastai .pt2 idiomatic")
    page.locator(f"#{chosen} .main-svg").first.wait_for()
    assert "fastai .pt2, idiomatic" in page.locator(f"#{chosen}-panel figcaption").inner_text()
    assert page.locator("#matrix-0").is_hidden()


def test_choosing_an_arm_shows_its_reliability_roc_and_precision_curves(opened: Any) -> None:
    page = opened("full")
    chooser = page.locator('[data-chooser="qualities"]')
    chooser.get_by_role("radio").nth(1).check()
    assert page.locator("#quality-0").is_hidden()
    for chart in ("reliability", "roc", "pr"):
        page.locator(f"#{chart}-quality-1 .main-svg").first.wait_for()


def test_hovering_a_trade_off_names_artefact_accuracy_latency_and_size(opened: Any) -> None:
    page = opened("full")
    page.locator("#trade-off").scroll_into_view_if_needed()
    page.locator("#trade-off .points path").last.hover(force=True)
    hover = page.locator("#trade-off .hoverlayer").text_content() or ""
    assert "accuracy" in hover
    assert "KiB" in hover


def test_a_gallery_shows_the_images_themselves_each_embedded_once(opened: Any) -> None:
    page = opened("full")
    gallery = page.locator("#mistakes .gallery:visible")
    assert gallery.locator("li").count() == 12
    first = gallery.locator("svg.picture").first
    assert (first.get_attribute("aria-label") or "").startswith("Test image ")
    assert first.evaluate("svg => svg.getBoundingClientRect().width") > 0
    used = page.locator("svg.picture use").evaluate_all("all => all.map(use => use.getAttribute('href'))")
    symbols = page.locator("symbol").evaluate_all("all => all.map(symbol => '#' + symbol.id)")
    assert len(symbols) == len(set(symbols))
    assert set(used) == set(symbols)
    assert len(used) > len(symbols), "artefacts share their images"


def test_hovering_a_bar_gives_the_exact_figure(opened: Any) -> None:
    page = opened("full")
    page.locator("#throughput").scroll_into_view_if_needed()
    page.locator("#throughput .bars .point path").first.hover(force=True)
    assert "images/s" in (page.locator("#throughput .hoverlayer").text_content() or "")


def test_hovering_the_phases_gives_shares_and_seconds_and_their_axis_ends_at_the_whole(opened: Any) -> None:
    page = opened("full", 390)
    chart = page.locator("#phases")
    chart.scroll_into_view_if_needed()
    chart.locator(".bars .point path").first.hover(force=True)
    chart.locator(".hoverlayer text").first.wait_for()
    assert re.search(r"train \d+\.\d%, .* s a training", chart.locator(".hoverlayer").text_content() or "")
    assert chart.locator(".xtick").last.text_content() == "100%"


def test_means_over_seeds_have_whiskers_and_single_seeds_their_own(opened: Any) -> None:
    for name in ("full", "failed"):
        chart = opened(name).locator("#seeds")
        chart.scroll_into_view_if_needed()
        chart.locator(".main-svg").first.wait_for()
        assert chart.locator(".trace:has(.yerror)").count() == 2, name


def test_an_incomplete_report_says_so_above_the_verdict(opened: Any) -> None:
    page = opened("failed")
    banner = page.get_by_role("alert")
    assert "train fastai seed 0: lost (memory)" in banner.inner_text()
    assert banner.bounding_box()["y"] < page.locator("#verdict").bounding_box()["y"]


def test_paper_is_light_whatever_the_theme(opened: Any) -> None:
    page = opened("one", scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("header.top").is_hidden()


def test_the_copy_button_takes_the_commands_or_selects_them(opened: Any) -> None:
    page = opened("one")
    button = page.locator('[data-copy="commands"]')
    button.click()
    page.wait_for_function("() => ['Copied', 'Selected'].includes(document.querySelector('.copy').textContent)")
