"""`bakeoff loadtest` on published models, through a real server that it starts itself."""

import json
import time
from pathlib import Path

import pytest

from core.rates import highest_passed
from core.schemas.results import LoadTestResult
from services.orchestrator.rates import next_rate
from tests.system.bakeoff_command import Bakeoff
from tests.system.serving_process import publish, serving
from tests.unit.loadtests.prepared import FINGERPRINT, put_prepared
from tests.unit.serving.published import SHAPE

pytestmark = pytest.mark.system
SHORT = ("--warmup-s", "0.2", "--duration-s", "0.4")


@pytest.fixture(scope="module")
def bakeoff(tmp_path_factory: pytest.TempPathFactory) -> Bakeoff:
    """A home with two published models and their data."""
    root = tmp_path_factory.mktemp("loadtest")
    home = root / "home"
    home.mkdir()
    put_prepared(home, SHAPE)
    for seed, name in enumerate(("one", "two")):
        publish(home / "models", name, seed, data_fingerprint=FINGERPRINT)
    return Bakeoff(home)


def stored(bakeoff: Bakeoff) -> set[Path]:
    return set((bakeoff.home / "store/results").glob("*/result.json"))


def test_models_are_measured_in_turns_and_a_second_call_repeats_nothing(bakeoff: Bakeoff) -> None:
    # One caller leaves the generator idle while it waits: a busy one would not count.
    asked = ("loadtest", "one", "two", "--repeats", "2", "--users", "1", *SHORT)
    results = bakeoff.json(*asked)
    order = [(result["spec"]["model"], result["spec"]["repeat"]) for result in results]
    assert order == [("one", 0), ("two", 0), ("two", 1), ("one", 1)]
    for result in results:
        assert (result["errors"], result["problems"]) == ({}, [])
        assert result["server"]["images"] >= result["requests"]
        assert result["server"]["cpu_s"] > 0
        assert {"queue", "infer"} <= result["server_ms"].keys()
    before = {path: path.stat().st_mtime_ns for path in stored(bakeoff)}
    assert bakeoff.json(*asked) == results
    assert {path: path.stat().st_mtime_ns for path in stored(bakeoff)} == before


def test_one_model_in_two_runtimes_is_measured_in_turns_and_told_apart(bakeoff: Bakeoff) -> None:
    runtimes = ("--runtime", "onnxruntime", "--runtime", "openvino")
    asked = ("loadtest", "one", *runtimes, "--at", "20", "--at", "40", "--users", "1", *SHORT)
    order = [(result["spec"]["runtime"], result["spec"]["rate"]) for result in bakeoff.json(*asked)]
    first, second = "onnxruntime", "openvino"
    paced = [(first, 20), (second, 20), (second, 40), (first, 40)]
    assert order == [(first, None), (second, None), *paced]
    table = bakeoff.run(*asked)
    assert table.code == 0, table.err
    assert len([line for line in table.out.splitlines() if line.startswith("one on openvino")]) == 3
    refused = bakeoff.run("loadtest", "one", "--runtime", "pytorch")
    assert refused.code == 2
    assert "runtime 'pytorch' does not serve onnx; able are: onnxruntime, openvino, openvino-bf16" in refused.err


def test_a_search_measures_rates_until_it_is_done_and_names_the_highest_that_holds(bakeoff: Bakeoff) -> None:
    ended = bakeoff.run("loadtest", "two", "--search", "--bound-ms", "250", "--users", "1", *SHORT, "--format", "json")
    results = [LoadTestResult.model_validate(one) for one in json.loads(ended.out)]
    assert [result.spec.scenario for result in results[:2]] == ["closed", "server"]
    paced = {result.spec.rate: result for result in results if result.spec.rate is not None}
    assert len(paced) == len(results) - 1 >= 2
    assert all(result.valid is False or result.queries >= 662 for result in paced.values())
    judged = {rate: bool(result.within_bound) for rate, result in paced.items()}
    assert next_rate(judged, results[0].throughput) is None, "nothing is left to measure"
    best, _ = highest_passed(judged)
    found = f"{best:g} queries/s" if best is not None else "none of the rates measured"
    assert f"two: highest rate whose p99 is shown to stay within 250 ms (99 % confidence): {found}" in ended.err
    assert ended.code == (0 if any(result.valid for result in results) else 1)


def test_a_bound_that_nothing_holds_is_said_to_be_held_by_no_rate(bakeoff: Bakeoff) -> None:
    ended = bakeoff.run("loadtest", "one", "--at", "700", "--at", "900", "--bound-ms", "0.01", *SHORT)
    assert "highest rate whose p99 is shown to stay within 0.01 ms (99 % confidence): none of the rates" in ended.err
    table = ended.out
    assert "server 700/s" in table
    assert "over" in table


def test_wrong_options_are_named_before_anything_starts(bakeoff: Bakeoff) -> None:
    for options, message in (
        (("--scenario", "server"), "scenario server needs a rate"),
        (("--search",), "search looks for the highest rate within bound_ms"),
        (("--sweep", "5"), "sweep"),
        (("--scenario", "stampede"), "scenario: Input should be 'closed'"),
        (("--repeats", "0"), "repeats: Input should be greater than or equal to 1 (got 0)"),
    ):
        ended = bakeoff.run("loadtest", "one", *options)
        assert (ended.code, message in ended.err) == (2, True), ended.err
    ended = bakeoff.run("loadtest", "nobody")
    assert (ended.code, "nobody" in ended.err) == (3, True)


def test_a_model_without_its_data_fails_with_a_reason_and_the_others_are_measured(bakeoff: Bakeoff) -> None:
    publish(bakeoff.home / "models", "orphan", 5, data_fingerprint="d" * 64)
    ended = bakeoff.run("loadtest", "orphan", "one", *SHORT, "--format", "json")
    assert ended.code == 1
    assert "orphan: load test failed: load test: no prepared data " + "d" * 64 in ended.err
    assert [result["spec"]["model"] for result in json.loads(ended.out)] == ["one"]


def test_a_model_whose_server_is_killed_meanwhile_is_measured_again_by_the_next_server(
    bakeoff: Bakeoff, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, flags = bakeoff.home / "models", ("--model-control", "explicit")
    before, folders = stored(bakeoff), [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    with serving(folders[0], repository, *flags) as first:
        monkeypatch.setenv("BAKEOFF_ENDPOINT_SERVING_ONNXRUNTIME", first.target)
        command = bakeoff.start("loadtest", "two", "--warmup-s", "0.2", "--duration-s", "10")
        wait_until_measuring(bakeoff, 10)
        first.process.kill()
        first.process.wait()
    with serving(folders[1], repository, *flags, "--port", first.target.rpartition(":")[2]):
        said, _ = command.communicate(timeout=100)
    assert said.count("loadtest two: info: the server was restarted; the model is loaded again") == 1, said
    (new,) = stored(bakeoff) - before
    assert LoadTestResult.model_validate_json(new.read_bytes()).errors == {}


def wait_until_measuring(bakeoff: Bakeoff, seconds: float) -> None:
    """Returns once the load test of so many seconds has been in its window for one: queries were answered."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for spec in (bakeoff.home / "loadtests").glob("*/spec.json"):
            events = spec.with_name("events.jsonl")
            if json.loads(spec.read_text())["duration_s"] != seconds or not events.is_file():
                continue
            lines = events.read_text().splitlines(keepends=True)
            told = [json.loads(line) for line in lines if line.endswith("\n")]
            if any(event["phase"] == "measure" and event["done"] >= 1 for event in told):
                return
        time.sleep(0.05)
    raise AssertionError(f"waited 60 s for a load test of {seconds} s")
