"""Headless load tests and the locustfile, as the processes people start, against a null server."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from hdrh.histogram import HdrHistogram

from core.contention import TimedSection, default_directory
from core.schemas.base import parse_json
from core.schemas.results import LoadTestResult
from core.schemas.specs import LoadTestSpec
from tests.system.null_servers import NullServer, null_servers
from tests.unit.loadtests.prepared import FINGERPRINT, put_prepared
from tools.bench.ports import free_port

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]


@pytest.fixture
def null_server() -> Iterator[NullServer]:
    with null_servers() as start:
        yield start


class Run:
    """One run folder and the process working on it."""

    def __init__(self, root: Path, target: str, **spec: object) -> None:
        self.folder = root / "run-1"
        self.folder.mkdir()
        self.spec = LoadTestSpec.model_validate(
            {"model": "m", "version": 1, "artifact": "c" * 64, "runtime": "onnxruntime", "data": FINGERPRINT}
            | {"users": 4, "warmup_s": 0.2, "duration_s": 0.5, **spec}
        )
        (self.folder / "spec.json").write_text(self.spec.model_dump_json())
        flags = ["--target", target, "--store", str(root / "store"), "--cache", str(root / "cache"), "--run-id", "r-7"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "loadtests", str(self.folder), *flags],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(root)},  # Other timed work on this host is not this test's business.
        )

    def finish(self) -> tuple[int, str]:
        """Exit status and what it printed on standard error."""
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors

    def events(self) -> list[dict[str, object]]:
        path = self.folder / "events.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []

    def wait_for(self, phase: str) -> None:
        deadline = time.monotonic() + 30
        while not any(event["phase"] == phase for event in self.events()):
            assert time.monotonic() < deadline, f"no event of phase {phase}"
            assert self.process.poll() is None, self.finish()
            time.sleep(0.02)

    def has_result(self) -> bool:
        return (self.folder / "result.json").exists()

    def result(self) -> LoadTestResult:
        return parse_json(LoadTestResult, (self.folder / "result.json").read_bytes(), "result.json")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """`start(target, **spec)` starts a load test on a store that holds the prepared data."""
    put_prepared(tmp_path)
    runs = []

    def begin(target: str, **spec: object) -> Run:
        runs.append(Run(tmp_path, target, **spec))
        return runs[-1]

    yield begin
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
            run.process.communicate()


def test_a_load_test_measures_and_writes_its_result(null_server, start, record_property):
    _, target = null_server()
    run = start(target, batch_size=2)
    assert run.finish() == (0, "")
    result = run.result()
    assert (result.run_id, result.spec, result.errors) == ("r-7", run.spec, {})
    assert 0.5 <= result.seconds < 2
    in_flight = run.spec.users * run.spec.batch_size
    assert result.throughput * result.seconds == pytest.approx(result.requests * 2, abs=in_flight)
    latency = result.latency_ms
    assert 0 < latency.p50 <= latency.p90 <= latency.p95 <= latency.p99 <= latency.p999 <= latency.max
    assert result.server_ms == pytest.approx({"queue": 0.001, "infer": 0.002})
    assert result.mean_batch == 2
    assert result.environment.contended is False
    assert result.environment.versions.keys() >= {"grpcio", "numpy"}
    record_property("generator_requests_per_second", result.throughput / 2)


def test_locust_measures_the_same_closed_loop_in_a_process_of_its_own(null_server, start):
    run = start(null_server()[1], batch_size=2, generator="locust")
    assert run.finish() == (0, "")
    result = run.result()
    assert (result.spec, result.loop, result.errors) == (run.spec, "closed", {})
    assert 0.5 <= result.seconds < 2
    assert result.requests > 10
    in_flight = run.spec.users * run.spec.batch_size
    assert result.throughput * result.seconds == pytest.approx(result.requests * 2, abs=in_flight)
    assert 0 < result.latency_ms.p50 <= result.latency_ms.p99 <= result.latency_ms.max
    assert HdrHistogram.decode(result.histogram).get_total_count() == result.requests
    assert result.server_ms == pytest.approx({"queue": 0.001, "infer": 0.002})
    assert result.generator_cpu is not None
    assert result.generator_cpu > 0


def test_locust_counts_what_a_frozen_server_leaves_unanswered(null_server, start):
    """Queries under way when the window ends are waited for: leaving them out would hide the freeze."""
    server, target = null_server()
    run = start(target, generator="locust", warmup_s=0.1, duration_s=6)
    run.wait_for("measure")
    time.sleep(2)
    server.send_signal(signal.SIGSTOP)
    time.sleep(2)
    server.send_signal(signal.SIGCONT)
    assert run.finish() == (0, "")
    assert run.result().latency_ms.max > 1000


def test_a_stop_ends_locusts_process_too(null_server, start):
    run = start(null_server()[1], generator="locust", duration_s=60)
    run.wait_for("measure")
    (child,) = psutil.Process(run.process.pid).children()
    run.process.send_signal(signal.SIGINT)
    code, errors = run.finish()
    assert (code, "stopped on request" in errors, run.has_result()) == (1, True, False)
    with suppress(psutil.NoSuchProcess):
        child.wait(5)


def test_progress_lines_count_up_to_the_length_of_each_phase(null_server, start):
    run = start(null_server()[1])
    assert run.finish()[0] == 0
    events = run.events()
    assert [*dict.fromkeys(event["phase"] for event in events)] == ["warm-up", "measure"]
    for phase, total in (("warm-up", 0.2), ("measure", 0.5)):
        done = [event["done"] for event in events if event["phase"] == phase]
        assert done == sorted(done)
        assert done[-1] == total
    assert events[-1]["unit"] == "s"
    assert events[-1]["values"]["requests"] > 0
    assert {"p50_ms", "p99_ms"} <= events[-1]["values"].keys()


def test_an_injected_stall_of_one_second_shows_in_the_highest_percentiles(null_server, start):
    run = start(null_server("--stall-s", "1", "--stall-after", "50")[1], users=16, warmup_s=0, duration_s=1.3)
    assert run.finish()[0] == 0
    latency = run.result().latency_ms
    assert 1000 <= latency.max < 3000
    assert latency.p999 == pytest.approx(1000, rel=0.5)
    assert latency.p50 < 500


def test_an_open_loop_shows_a_stall_of_one_second_in_p99(null_server, start):
    target = null_server("--stall-s", "1", "--stall-after", "150")[1]
    run = start(target, scenario="server", rate=100, warmup_s=0.5, duration_s=3)
    assert run.finish()[0] == 0
    result = run.result()
    assert (result.loop, result.errors) == ("open", {})
    assert result.latency_ms.p99 > 500
    assert result.requests == pytest.approx(300, abs=90)  # Nobody waited for the stall to send the next query.
    assert result.late_share is not None
    assert result.supported == 95


def test_the_closed_scenarios_of_mlperf_have_one_caller_with_its_images_per_query(null_server, start):
    run = start(null_server()[1], scenario="multi_stream", min_queries=700, duration_s=0.2)
    assert run.finish()[0] == 0
    result = run.result()
    assert (result.spec.users, result.spec.batch_size, result.mean_batch) == (1, 8, 8)
    assert result.requests >= 700  # The window went on until there were enough for p99.
    assert result.upper_ms["p99"] >= result.latency_ms.p99


def test_offline_answers_everything_that_was_due_at_the_start(null_server, start):
    run = start(null_server()[1], scenario="offline", batch_size=4, min_queries=2000, users=2)
    assert run.finish()[0] == 0
    result = run.result()
    assert result.requests >= 2000
    assert result.throughput == pytest.approx(result.requests * 4 / result.seconds)
    assert result.latency_ms.max <= result.seconds * 1000 + 1  # All wait from the start.
    assert result.latency_ms.p50 > result.latency_ms.max / 4


def test_a_load_test_beside_other_timed_work_is_marked_contended(null_server, start, tmp_path):
    _, target = null_server()
    with TimedSection(tmp_path / default_directory().name):
        run = start(target)
        assert run.finish()[0] == 0
    assert run.result().environment.contended is True


def test_a_missing_server_is_named(start):
    port = free_port()
    run = start(f"127.0.0.1:{port}")
    status, errors = run.finish()
    assert status == 1
    assert re.fullmatch(rf"load test: no inference server answers at 127\.0\.0\.1:{port};.*\n", errors)
    assert not run.has_result()


def test_a_model_of_other_data_is_refused_before_the_first_request(null_server, start):
    run = start(null_server("--classes", "5")[1])
    status, errors = run.finish()
    assert (status, run.has_result(), run.events()) == (1, False, [])
    assert "tells 5 classes apart, the data has 3" in errors


def test_data_that_was_never_prepared_is_named(null_server, start):
    run = start(null_server()[1], data="d" * 64)
    status, errors = run.finish()
    assert (status, run.has_result()) == (1, False)
    assert "no prepared data " + "d" * 64 in errors


def test_a_server_that_dies_halfway_leaves_errors_by_code_beside_the_measurements(null_server, start):
    server, target = null_server()
    run = start(target, duration_s=6)
    run.wait_for("measure")
    time.sleep(1)
    server.kill()
    assert run.finish()[0] == 0
    result = run.result()
    assert result.requests > 0
    assert result.errors.keys() == {"UNAVAILABLE"}


def test_a_test_without_one_answer_writes_the_errors_and_fails(null_server, start):
    server, target = null_server()
    run = start(target, warmup_s=5)
    run.wait_for("warm-up")
    server.kill()
    status, errors = run.finish()
    assert status == 1
    assert re.search(rf"no request to m at {re.escape(target)} succeeded .* × UNAVAILABLE", errors)
    result = run.result()
    assert (result.requests, result.throughput, result.latency_ms.max) == (0, 0, 0)
    assert result.errors["UNAVAILABLE"] > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_test_ends_within_two_seconds_and_writes_no_result(null_server, start, number):
    run = start(null_server()[1], duration_s=60)
    run.wait_for("measure")
    run.process.send_signal(number)
    began = time.monotonic()
    status, errors = run.finish()
    assert time.monotonic() - began < 2
    assert (status, run.has_result()) == (1, False)
    assert errors == "load test: stopped on request during measure\n"


def test_a_test_whose_server_hangs_stops_within_two_seconds_all_the_same(null_server, start):
    server, target = null_server()
    run = start(target, duration_s=60)
    run.wait_for("measure")
    server.send_signal(signal.SIGSTOP)
    time.sleep(0.3)
    run.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    status, _ = run.finish()
    assert time.monotonic() - began < 2
    assert (status, run.has_result()) == (1, False)


def test_a_broken_caller_ends_the_test_at_once_with_its_reason(null_server):
    script = """
import sys, numpy as np
from core.errors import BakeoffError
from core.schemas.specs import LoadTestSpec
from loadtests import driver, headless
from loadtests.recorder import Recorder
from loadtests.window import Window
spec = LoadTestSpec(model="m", version=1, artifact="c" * 64, runtime="onnxruntime", data="d" * 64, duration_s=60)
recorder = Recorder()
setting = headless.Setting(sys.argv[1], "r", 5.0)
window = Window(recorder, lambda *_: None)
try:
    driver.run(headless.measure(setting, spec, np.zeros((3, 4, 5, 1), np.float32), recorder, window))
except BakeoffError as error:
    print(error)
"""
    command = [sys.executable, "-c", script, null_server()[1]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    assert "a caller of the load test broke: images are float32" in done.stdout
