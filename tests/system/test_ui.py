"""`bakeoff ui` in real Chromium: the index, a drawing, a drop, through real servers."""

import base64
import io
import os
import re
import signal
import threading
from collections.abc import Iterator
from typing import Literal

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Route, ViewportSize, sync_playwright

from core.schemas.course import StepNow
from evaluator import report
from tests.system.bakeoff_command import Bakeoff
from tests.system.browser import ARGUMENTS, CHROMIUM, Watch
from tests.system.serving_process import publish
from tests.unit.evaluator.builder import Experiment
from tests.unit.services.courses import freeze_experiment, running, write_course
from tests.unit.serving import published

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed: apt-get install chromium"),
]
DROP = """([name, content]) => {
    const data = new DataTransfer();
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    data.items.add(new File([bytes], name));
    document.getElementById('drop').dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true}));
}"""

CONTRASTS = """() => {
    const pen = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const light = (color) => {
        pen.fillStyle = color;
        pen.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...pen.getImageData(0, 0, 1, 1).data].map((value) => {
            const share = value / 255;
            return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
        const color = getComputedStyle(element).backgroundColor;
        return color === 'rgba(0, 0, 0, 0)' ? ground(element.parentElement) : color;
    };
    return [...document.querySelectorAll('.badge, .card p, .card dt, .card dd, .card pre, .card a')].map((element) => {
        const [one, two] = [light(getComputedStyle(element).color), light(ground(element))].sort((a, b) => b - a);
        return (one + 0.05) / (two + 0.05);
    });
}"""
"""WCAG's contrast of every piece of text on the cards."""


@pytest.fixture(scope="module")
def bakeoff(tmp_path_factory: pytest.TempPathFactory) -> Bakeoff:
    """A home with a report, experiments that have none, and two models."""
    folder = tmp_path_factory.mktemp("ui")
    one = Experiment(seeds=(0,), arms=("matched",), frameworks=("keras",))
    report.write(one.spec, one.results, one.probabilities, one.test, (), folder / "home/reports/digits")
    write_course(folder / "home", "stopped", outcome="interrupted", now=())
    write_course(folder / "home", "broken", outcome="failed", reason="class 'rare' has no image in the train split")
    freeze_experiment(folder / "home", "early")
    for seed in range(2):
        publish(folder / "home/models", f"linear-{seed}", seed)
    return Bakeoff(folder / "home")


@pytest.fixture(scope="module")
def address(bakeoff: Bakeoff) -> Iterator[str]:
    """Where the running command serves its pages; afterwards nothing of it may be left."""
    process = bakeoff.start("ui", "--port", "0")
    assert process.stdout is not None
    lines: list[str] = []
    found = None
    watchdog = threading.Timer(90, process.kill)
    watchdog.start()
    for line in process.stdout:
        lines.append(line)
        if found := re.search(r"bakeoff ui: (http://127\.0\.0\.1:\d+/)", line):
            break
    watchdog.cancel()
    assert found, "".join(lines)
    yield found[1]
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(60) == 0
    process.stdout.close()
    assert bakeoff.processes() == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """Afterwards nothing may have been logged, and nothing asked of anybody else."""
    watch, context = Watch(), browser.new_context()
    found = context.new_page()
    watch.on(found)
    yield found
    context.close()
    assert watch.complaints == []
    assert [url for url in watch.requests if not url.startswith((address, "data:", "blob:"))] == []


def answers(page: Page, count: int) -> list[str]:
    """The answer of each artefact, once all are there."""
    page.locator("#answers tr").nth(count - 1).wait_for()
    return page.locator("#answers .bar b").all_inner_texts()


def encoded(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_the_index_lists_the_runs_and_leads_to_their_reports(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_role("link", name="Digits (synthetic test data)").wait_for()
    assert "Ship" in page.locator(".headline").inner_text()
    page.get_by_role("link", name="Report", exact=True).click()
    page.locator("#verdict-table").wait_for()
    assert page.url == f"{address}reports/digits/report.html"


def card(page: Page, name: str) -> Locator:
    """An experiment on the index, by what is under its title."""
    return page.locator("#runs > li").filter(has=page.locator("p.muted", has_text=re.compile(rf"^{name}, ")))


def test_the_index_says_of_an_experiment_without_a_report_what_became_of_it(page: Page, address: str) -> None:
    page.goto(address)
    card(page, "early").wait_for()
    assert card(page, "stopped").locator(".badge").inner_text() == "Interrupted"
    assert "cd /home/somebody/work\nbakeoff run experiments/stopped.yaml" in card(page, "stopped").inner_text()
    assert card(page, "broken").locator(".badge").inner_text() == "Failed"
    assert "class 'rare' has no image in the train split" in card(page, "broken").inner_text()
    assert card(page, "early").locator(".badge").inner_text() == "Unfinished"
    assert card(page, "digits").locator(".badge").inner_text() == "Complete"
    assert page.locator("#state").inner_text().startswith("4 experiments: ")


def test_the_index_follows_an_experiment_that_runs_until_it_is_killed_and_leaves_the_keyboard_alone(
    page: Page, address: str, bakeoff: Bakeoff
) -> None:
    write_course(bakeoff.home, "mnist")
    with running(bakeoff.home, "mnist") as process:
        page.goto(address)
        own = card(page, "mnist")
        own.get_by_text("Running").wait_for()
        assert page.locator("#runs > li").first.locator("h2").inner_text() == "The mnist experiment"
        assert "train matched keras s1, 25%" in own.inner_text()
        assert own.get_by_role("progressbar", name="train matched keras s1").evaluate("bar => bar.value") == 0.25
        report_link = page.get_by_role("link", name="CSV", exact=True)
        report_link.focus()
        write_course(bakeoff.home, "mnist", now=(StepNow(label="evaluate x", phase="evaluate", done=1, total=2),))
        own.get_by_text("evaluate x, 50%").wait_for()
        process.kill()
        process.wait()
        own.get_by_text("Unfinished").wait_for()
        assert "bakeoff run experiments/mnist.yaml" in own.inner_text()
        assert own.get_by_role("progressbar").count() == 0
        assert report_link.evaluate("link => link === document.activeElement")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_state_of_the_index_is_readable(browser: Browser, address: str, scheme: Literal["light", "dark"]) -> None:
    with browser.new_context(color_scheme=scheme) as context:
        page = context.new_page()
        page.goto(address)
        page.locator(".badge").first.wait_for()
        for contrast in page.evaluate(CONTRASTS):
            assert contrast >= 4.5


@pytest.mark.parametrize("path", ["", "live"])
def test_the_pages_fit_a_screen_a_tablet_and_a_phone(page: Page, address: str, path: str) -> None:
    page.goto(address + path)
    page.wait_for_load_state("networkidle")
    for width in (1440, 820, 390):
        page.set_viewport_size(ViewportSize(width=width, height=900))
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_drawing_is_answered_by_every_artefact_with_its_latency(page: Page, address: str) -> None:
    """One that is there before the list of models is: that is held back until then."""
    held: list[Route] = []
    page.route("**/api/models", lambda route: held.append(route))
    with page.expect_request("**/api/models"):
        page.goto(address + "live")
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 220, steps=5)
    page.mouse.up()
    page.get_by_text("Your drawing").wait_for()
    held[0].continue_()
    assert len(answers(page, 2)) == 2
    latencies = page.locator("#answers td.num").all_inner_texts()
    assert all(re.fullmatch(r"\d+\.\d\d ms", text) for text in latencies)
    assert "infer" in page.locator("#answers tr").first.inner_text()
    page.get_by_role("button", name="Clear").click()
    assert page.locator("#answers tr").count() == 0


def test_a_dropped_image_gets_the_answers_its_models_give(page: Page, address: str) -> None:
    page.goto(address + "live")
    page.locator("#experiment option").first.wait_for(state="attached")
    pixels = published.images(1, seed=5)
    page.evaluate(DROP, ["noise.png", encoded(pixels[0, :, :, 0])])
    found = answers(page, 2)
    for seed, text in enumerate(found):
        row = published.linear(published.weights(seed))(pixels)[0]
        assert text == f"{published.CLASSES[int(row.argmax())]} {100 * row.max():.1f}%"
    assert "noise.png" in page.locator("#source").inner_text()


def test_the_drawing_is_a_picture_and_no_stop_of_the_keyboard(page: Page, address: str) -> None:
    page.goto(address + "live")
    assert page.get_by_role("img", name=re.compile("^Drawing area")).count() == 1
    stops = []
    for _ in range(12):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.id"))
    assert "canvas" not in stops
    assert {"experiment", "ask", "clear", "file"} <= set(stops)


def test_an_answer_fits_a_phone_and_says_names_as_the_report_does(page: Page, address: str) -> None:
    page.set_viewport_size(ViewportSize(width=360, height=900))
    page.goto(address + "live")
    page.locator("#experiment option").first.wait_for(state="attached")
    page.evaluate(DROP, ["noise.png", encoded(published.images(1, seed=5)[0, :, :, 0])])
    answers(page, 2)
    assert page.locator(".scroll").evaluate("frame => frame.scrollWidth <= frame.clientWidth")
    row = page.get_by_role("table").get_by_role("row").filter(has=page.get_by_role("rowheader")).first
    assert "ONNX" in row.get_by_role("rowheader").inner_text()
    assert "ONNX Runtime" in row.get_by_role("rowheader").inner_text()
    assert row.get_by_role("cell").count() == 5
    for cell in row.get_by_role("cell").all():
        box = cell.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= 360


def test_a_file_that_is_no_image_is_refused_in_words(browser: Browser, address: str) -> None:
    with browser.new_context() as context:  # Its own: Chromium logs every answer that is an error.
        page = context.new_page()
        page.goto(address + "live")
        page.locator("#experiment option").first.wait_for(state="attached")
        page.evaluate(DROP, ["notes.txt", base64.b64encode(b"no image").decode()])
        page.locator("#answers tr").nth(1).wait_for()
        assert "cannot be decoded" in page.locator("#answers .warn").first.inner_text()


def test_the_port_of_another_is_refused_with_what_to_do(bakeoff: Bakeoff, address: str) -> None:
    port = address.rstrip("/").rsplit(":", 1)[1]
    ended = bakeoff.run("ui", "--port", port)
    assert ended.code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in ended.err
    assert "--port 0" in ended.err
