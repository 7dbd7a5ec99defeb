"""`bakeoff ui` in real Chromium: the index, a drawing, a drop, through real servers."""

import base64
import io
import os
import re
import signal
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from evaluator import report
from tests.system.bakeoff_command import Bakeoff
from tests.system.serving_process import publish
from tests.system.test_report_in_browser import ARGUMENTS, CHROMIUM, Watch
from tests.unit.evaluator.builder import Experiment
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


@pytest.fixture(scope="module")
def bakeoff(tmp_path_factory: pytest.TempPathFactory) -> Bakeoff:
    """A home with a report and two models."""
    folder = tmp_path_factory.mktemp("ui")
    one = Experiment(seeds=(0,), arms=("matched",), frameworks=("keras",))
    report.write(one.spec, one.results, one.probabilities, one.test, (), folder / "home/reports/digits")
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


@pytest.mark.parametrize("path", ["", "live"])
def test_the_pages_fit_a_screen_a_tablet_and_a_phone(page: Page, address: str, path: str) -> None:
    page.goto(address + path)
    page.wait_for_load_state("networkidle")
    for width in (1440, 820, 390):
        page.set_viewport_size(ViewportSize(width=width, height=900))
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_drawing_is_answered_by_every_artefact_with_its_latency(page: Page, address: str) -> None:
    page.goto(address + "live")
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 220, steps=5)
    page.mouse.up()
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
