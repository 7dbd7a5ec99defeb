"""The locustfile as people run it: by hand, by its page, in several processes, distributed; against a null server."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram
from playwright.sync_api import sync_playwright

from tests.system.browser import ARGUMENTS, CHROMIUM
from tests.system.null_servers import NullServer, null_servers
from tests.system.serving_process import wait_until
from tests.unit.loadtests.prepared import FINGERPRINT, put_prepared
from tools.bench.ports import free_port

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]


@pytest.fixture
def null_server() -> Iterator[NullServer]:
    with null_servers() as start:
        yield start


def locust(target: str, *options: str) -> "subprocess.CompletedProcess[str]":
    """Runs the locustfile for six seconds, of which Locust's own start-up takes its share."""
    command = [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless", "--users", "2"]
    command += ["--spawn-rate", "2", "--run-time", "6s", "--target", target, *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_the_locustfile_runs_by_hand_with_prepared_data(null_server, tmp_path):
    store = put_prepared(tmp_path)
    data = store.path("prepared", FINGERPRINT)
    done = locust(null_server()[1], "--model", "m", "--data", str(data), "--batch", "2")
    assert done.returncode == 0, done.stderr
    assert re.search(r"grpc +ModelInfer m +\d{2,} +0\(0.00%\)", done.stdout + done.stderr)


def test_the_locustfile_sends_random_images_where_no_data_is_named(null_server):
    done = locust(null_server()[1], "--model", "m")
    assert done.returncode == 0, done.stderr
    assert re.search(r"grpc +ModelInfer m +\d{2,} +0\(0.00%\)", done.stdout + done.stderr)


def test_the_locustfile_says_what_is_missing(null_server):
    done = locust(null_server()[1])
    assert done.returncode == 1
    assert "no model is named; give --model NAME, or LOADTEST_MODEL" in done.stderr


def is_up(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


def counted(done: "subprocess.CompletedProcess[str]") -> int:
    """Requests as Locust's own statistics count them."""
    *_, last = re.findall(r"Aggregated +(\d+) +0\(0.00%\)", done.stdout + done.stderr)
    return int(last)


@pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed: apt-get install chromium")
def test_locusts_web_page_starts_and_stops_a_load_test(null_server):
    target, port = null_server()[1], free_port()
    command = [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--target", target, "--model", "m"]
    page_options = ["--web-host", "127.0.0.1", "--web-port", str(port)]
    process = subprocess.Popen(
        [*command, *page_options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        next(line for line in process.stdout if "Starting web interface" in line)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            page = browser.new_page()
            # The log line comes before the page.
            wait_until(lambda: is_up(port))
            page.goto(f"http://127.0.0.1:{port}")
            page.locator("input[name=userCount]").fill("2")
            page.get_by_role("button", name="Start").click()
            row = page.locator("table tbody tr").first
            row.get_by_text("ModelInfer m").wait_for()
            page.wait_for_function("parseInt(document.querySelector('table tbody td:nth-child(3)').innerText) > 20")
            page.get_by_role("button", name="Stop").click()
            page.get_by_role("button", name="New").wait_for()
            failures = row.locator("td").nth(3).inner_text()
            browser.close()
        assert failures == "0"
        process.terminate()  # Not Ctrl-C, which is ignored below a shell's background job.
        output, _ = process.communicate(timeout=30)
        assert re.search(r"over [\d,]+ answered requests: p50 \d", output), output
    finally:
        process.kill()
        process.communicate()


def test_two_locust_processes_merge_their_histograms_into_exact_percentiles(null_server, tmp_path):
    path = tmp_path / "latency.json"
    done = locust(null_server()[1], "--model", "m", "--processes", "2", "--histogram", str(path))
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text())
    assert found["requests"] == counted(done)
    assert HdrHistogram.decode(found["histogram"]).get_total_count() == found["requests"]
    assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["p99"] <= found["latency_ms"]["max"]
    assert f"over {found['requests']:,} answered requests: p50 {found['latency_ms']['p50']:.3f}" in done.stdout


SHAPE = """
from locust import LoadTestShape

class Steps(LoadTestShape):
    def tick(self):
        run = self.get_run_time()
        return None if run > 4 else (1 if run < 2 else 3, 10)
"""


def test_a_shape_in_a_file_of_ones_own_says_how_many_users_there_are(null_server, tmp_path):
    (tmp_path / "shape.py").write_text(SHAPE)
    files = f"loadtests/locustfile.py,{tmp_path / 'shape.py'}"
    command = [sys.executable, "-m", "locust", "-f", files, "--headless", "--target", null_server()[1], "--model", "m"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"Shape test updating to (\d) users", done.stdout + done.stderr) == ["1", "3"]
    assert counted(done) > 10


def test_a_locust_master_reports_what_its_workers_measured(null_server, tmp_path):
    target, port = null_server()[1], free_port()
    path = tmp_path / "latency.json"
    command = [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--target", target, "--model", "m"]
    workers = [
        subprocess.Popen(
            [*command, "--worker", "--master-host", "127.0.0.1", "--master-port", str(port)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    try:
        master = ("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", str(port))
        done = locust(target, "--model", "m", *master, "--expect-workers", "2", "--histogram", str(path))
        assert [worker.wait(30) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text())
    assert found["requests"] == counted(done) > 0
