"""tritonclient and perf_analyzer, unchanged, against a running server."""

import csv
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.system.serving_process import ServingProcess, publish, serving
from tests.system.venvs import PERF_ANALYZER, TRITONCLIENT, python_with
from tests.unit.serving import published

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]
DRIVER = Path(__file__).parent / "tritonclient_driver.py"
MODEL = "linear"
Drive = Callable[[str], Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[ServingProcess]:
    folder = tmp_path_factory.mktemp("serving")
    publish(folder / "models", MODEL)
    with serving(folder, folder / "models", "--model-control", "explicit", "--load-model", MODEL) as running:
        yield running


@pytest.fixture
def drive(server: ServingProcess, tmp_path: Path) -> Drive:
    """Runs one scenario of the driver and returns what it printed."""
    python = python_with(*TRITONCLIENT)
    np.save(tmp_path / "images.npy", published.images(2))

    def run(scenario: str) -> Any:
        command = [str(python), str(DRIVER), server.target, scenario, str(tmp_path / "images.npy")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture
def expected() -> np.ndarray:
    return published.linear(published.weights())(published.images(2))


def test_server_and_model_describe_themselves(drive):
    told = drive("describe")
    assert told["live"] is told["ready"] is True
    assert told["model_ready"] == [True, True, False]
    assert told["server"]["name"] == "bakeoff"
    assert "classification" in told["server"]["extensions"]
    metadata = told["metadata"]
    assert metadata["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": ["-1", "6", "5", "1"]}]
    assert metadata["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": ["-1", "3"]}]
    assert (metadata["versions"], metadata["platform"]) == (["1"], "onnxruntime_onnx")
    assert told["config"]["max_batch_size"] == 64
    assert told["config"]["input"][0]["data_type"] == "TYPE_UINT8"
    assert json.loads(told["config"]["parameters"]["bakeoff.preprocess"]["string_value"])["height"] == 6


def test_inference_answers_with_probabilities_labels_id_and_times(drive, expected):
    told = drive("infer")
    np.testing.assert_allclose(told["plain"], expected, atol=1e-6)
    assert told["chosen"] == told["plain"]
    assert (told["id"], told["version"]) == ("seven", "1")
    assert sorted(told["parameters"]) == ["batch_size", "infer_ns", "postprocess_ns", "preprocess_ns", "queue_ns"]
    assert told["parameters"]["batch_size"] == 2
    assert told["parameters"]["infer_ns"] > 0
    best = int(expected[0].argmax())
    value, index, label = told["labelled"][0][0].split(":")
    assert (int(index), label) == (best, published.CLASSES[best])
    assert float(value) == pytest.approx(expected[0, best], abs=1e-5)


def test_statistics_count_requests_images_and_times(drive):
    (statistics,) = drive("statistics")
    assert (statistics["name"], statistics["version"]) == (MODEL, "1")
    assert int(statistics["inference_count"]) >= 4
    assert int(statistics["execution_count"]) >= 2
    success = statistics["inference_stats"]["success"]
    assert int(success["count"]) >= 2
    assert int(success["ns"]) >= int(statistics["inference_stats"]["compute_infer"]["ns"]) > 0
    assert {batch["batch_size"] for batch in statistics["batch_stats"]} == {"2"}


def test_errors_have_their_codes_and_say_what_to_do(drive):
    told = drive("errors")
    assert {name: code.removeprefix("StatusCode.") for name, (code, _) in told.items()} == {
        "unknown model": "NOT_FOUND",
        "unknown version": "NOT_FOUND",
        "wrong datatype": "INVALID_ARGUMENT",
        "wrong shape": "INVALID_ARGUMENT",
        "wrong input": "INVALID_ARGUMENT",
        "wrong output": "INVALID_ARGUMENT",
        "too many": "INVALID_ARGUMENT",
        "load unknown": "NOT_FOUND",
        "load with config": "INVALID_ARGUMENT",
        "load with file": "INVALID_ARGUMENT",
        "unload unknown": "NOT_FOUND",
        "shared memory": "UNIMPLEMENTED",
    }
    assert "loaded: 1" in told["unknown version"][1]
    assert "expected UINT8" in told["wrong datatype"][1]
    assert "requests of at most 64" in told["too many"][1]
    assert "config, file:1/model.onnx are refused" in told["load with file"][1]


def test_a_model_is_unloaded_and_loaded_again(drive):
    without, loaded = drive("control")
    assert without == [False, [{"name": MODEL, "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"}]]
    assert loaded == [True, [{"name": MODEL, "version": "1", "state": "READY"}]]


def test_a_stream_answers_in_order_and_survives_a_broken_request(drive, expected):
    answers = drive("stream")
    assert answers[3][0] == "error"
    assert "has shape [2, 5, 5, 1]" in answers[3][1]
    good = [answer for answer in answers if answer[0] != "error"]
    assert [number for number, _ in good] == [str(number) for number in range(10) if number != 3]
    for _, rows in good:
        np.testing.assert_allclose(rows, expected, atol=1e-6)


@pytest.mark.parametrize("mode", [(), ("--streaming",)], ids=["unary", "stream"])
def test_perf_analyzer_measures_the_server(server, tmp_path, mode):
    python = python_with(*PERF_ANALYZER)
    tool = python.with_name("perf_analyzer")
    (libraries,) = python.parents[1].glob("lib/python*/site-packages/nvidia/cuda_runtime/lib")
    environment = {**os.environ, "LD_LIBRARY_PATH": str(libraries)}
    if (missing := subprocess.run(["ldd", tool], env=environment, capture_output=True, text=True)).returncode:
        pytest.skip(f"perf_analyzer does not run here: {missing.stderr.strip()}")
    if absent := [line.strip() for line in missing.stdout.splitlines() if "not found" in line]:
        pytest.skip(f"perf_analyzer lacks libraries: {'; '.join(absent)}")
    report = tmp_path / "report.csv"
    command = [str(tool), "-m", MODEL, "-u", server.target, "-i", "grpc", "--async", *mode, "--concurrency-range", "4"]
    command += ["--measurement-mode", "count_windows", "--measurement-request-count", "100", "-s", "900", "-r", "3"]
    done = subprocess.run([*command, "-f", str(report)], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    with report.open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["Inferences/Second"]) > 0
    assert float(row["Server Compute Infer"]) > 0
