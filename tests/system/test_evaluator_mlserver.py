"""The evaluator's worker against another product's server: MLServer 1.7.1, in an environment of its own."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.results import read_result
from core.schemas.names import RUNTIMES
from core.schemas.results import EvaluateResult
from core.schemas.specs import EvaluateSpec
from core.store import Store
from core.worker import ERROR, Failure
from services.client.inference import InferenceClient
from tests.system.bakeoff_command import Bakeoff
from tests.system.containers import free_ports
from tests.system.onnx_models import linear_model
from tests.system.prepared_noise import FINGERPRINT, put_noise
from tests.system.venvs import MLSERVER, python_with
from tests.unit.serving import published

pytestmark = pytest.mark.system
IMAGES = 200
MODEL = "linear"
START_TIMEOUT_S = 60


@dataclass
class MLServer:
    """A model folder, and the process that serves it."""

    folder: Path
    port: int

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @contextmanager
    def running(self, python: Path) -> Iterator["subprocess.Popen[bytes]"]:
        """The server, ready; killed at the end of the block if it still lives."""
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [str(python), "-m", "mlserver.cli.main", "start", "."],
                cwd=self.folder, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(self.folder)},
            )  # fmt: skip
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            with InferenceClient(self.target, timeout_s=1) as client:
                while not client.model_ready(MODEL, 1):
                    assert process.poll() is None, (self.folder / "log").read_text()
                    assert time.monotonic() < deadline, (self.folder / "log").read_text()
                    time.sleep(0.05)
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def python() -> Path:
    return python_with(*MLSERVER)


def mlserver(folder: Path, kernel: np.ndarray, delay_s: float = 0.0, classes: int = 3) -> MLServer:
    """A server of the linear model; `classes` is what it tells about its output."""
    folder.mkdir()
    shutil.copy(Path(__file__).parent / "mlserver_runtime.py", folder)
    (folder / "model.onnx").write_bytes(linear_model(kernel, published.SHAPE))
    grpc, http = free_ports(2)
    settings = {"host": "127.0.0.1", "grpc_port": grpc, "http_port": http, "metrics_endpoint": None, "debug": False}
    (folder / "settings.json").write_text(json.dumps({**settings, "parallel_workers": 0}))
    model = {
        "name": MODEL,
        "implementation": "mlserver_runtime.OnnxModel",
        "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, *published.SHAPE]}],
        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, classes]}],
        "parameters": {"uri": str(folder / "model.onnx"), "version": "1", "extra": {"delay_s": delay_s}},
    }
    (folder / "model-settings.json").write_text(json.dumps(model))
    return MLServer(folder, grpc)


@dataclass
class Evaluation:
    """A run of the evaluator's worker."""

    folder: Path
    target: str

    @property
    def store(self) -> Store:
        return Store(str(self.folder / "store"), self.folder / "cache")

    @property
    def run(self) -> Path:
        return self.folder / "runs/evaluate-1"

    def start(self) -> "subprocess.Popen[bytes]":
        """The worker as its service would start it."""
        self.run.mkdir(parents=True, exist_ok=True)
        (self.run / ERROR).unlink(missing_ok=True)
        spec = EvaluateSpec(
            model=MODEL, version=1, artifact="a" * 64, runtime="onnxruntime", data=FINGERPRINT, batch_size=8
        )
        (self.run / "spec.json").write_text(spec.model_dump_json())
        runtimes = [f"--serving-{name}={self.target}" for name in RUNTIMES]
        shared = ["--store", self.store.url, "--cache", str(self.store.cache), "--threads=1", "--in-flight=2"]
        command = [sys.executable, "-m", "services.evaluator.worker", str(self.run), *shared, *runtimes]
        return subprocess.Popen(command, stdin=subprocess.PIPE)

    def finish(self) -> int:
        """Starts the worker and waits for its exit status."""
        with closing_input(self.start()) as worker:
            return worker.wait(60)

    def error(self) -> str:
        """What the worker gave up for."""
        return Failure.model_validate_json((self.run / ERROR).read_text()).text

    def result(self) -> EvaluateResult:
        """From the store."""
        found = read_result(self.store, "evaluate-1")
        assert isinstance(found, EvaluateResult)
        return found

    def predictions(self, split: str) -> np.ndarray:
        """Probabilities from the Parquet file."""
        path = self.store.path("results", "evaluate-1") / f"predictions/{split}.parquet"
        return np.array(pq.read_table(path).column("probabilities").to_pylist(), np.float32)


@contextmanager
def closing_input(worker: "subprocess.Popen[bytes]") -> Iterator["subprocess.Popen[bytes]"]:
    """A worker ends with its service: here, at the latest with the block."""
    assert worker.stdin is not None
    with closing(worker.stdin):
        try:
            yield worker
        finally:
            if worker.poll() is None:
                worker.kill()
                worker.wait()


@pytest.fixture
def kernel() -> np.ndarray:
    return published.weights(3)


def evaluation(tmp_path: Path, server: MLServer) -> Evaluation:
    put_noise(tmp_path, IMAGES)
    return Evaluation(tmp_path, server.target)


def test_every_image_is_scored_through_mlserver_and_every_prediction_kept(
    tmp_path: Path, python: Path, kernel: np.ndarray
) -> None:
    server = mlserver(tmp_path / "server", kernel)
    one = evaluation(tmp_path, server)
    with server.running(python):
        assert one.finish() == 0
    expected = published.linear(kernel)(published.images(IMAGES))
    np.testing.assert_allclose(one.predictions("test"), expected, atol=1e-6)
    assert one.result().images == IMAGES
    assert one.result().operating is not None


def test_the_command_scores_what_mlserver_serves_anew_each_time_and_says_what_is_wrong(
    tmp_path: Path, python: Path, kernel: np.ndarray
) -> None:
    bakeoff = Bakeoff(tmp_path)
    put_noise(tmp_path, IMAGES)
    server = mlserver(tmp_path / "server", kernel)
    asked = ("evaluate", MODEL, "--target", server.target, "--data", FINGERPRINT[:8])
    with server.running(python):
        results = [bakeoff.json(*asked) for _ in range(2)]
        table = bakeoff.run(*asked, "--no-calibrate")
        unknown = bakeoff.run("evaluate", "none", *asked[2:])
    expected = published.linear(kernel)(published.images(IMAGES))
    accuracy = float((expected.argmax(axis=1) == np.arange(IMAGES) % 3).mean())
    assert [result["accuracy"] for result in results] == [accuracy, accuracy]
    assert [result["spec"]["repeat"] for result in results] == [0, 1]
    assert results[0]["run_id"] != results[1]["run_id"]
    path = Store(str(tmp_path / "store"), tmp_path / "cache").path("results", results[0]["run_id"])
    kept = np.array(pq.read_table(path / "predictions/test.parquet").column("probabilities").to_pylist(), np.float32)
    np.testing.assert_allclose(kept, expected, atol=1e-6)
    assert table.code == 0, table.err
    assert f"accuracy {accuracy:.2%}" in table.out
    assert "macro" in table.out
    away = bakeoff.run(*asked)
    assert (unknown.code, away.code) == (3, 1)
    with server.running(python):
        resumed = bakeoff.json(*asked, "--resume")["spec"]["repeat"]
    assert bakeoff.run(*asked).code == 1
    with server.running(python):
        anew = bakeoff.json(*asked)["spec"]["repeat"]
    # What failed is gone on with only where the caller says that the model is the same.
    assert (resumed, anew) == (2, 4)
    assert "none" in unknown.err
    assert server.target in away.err
    for wrong, code, message in (
        (asked[:4], 2, f"give --data, an experiment or a fingerprint of prepared data; there are: {FINGERPRINT[:12]}"),
        ((*asked[:4], "--data", "none"), 3, "no prepared data and no experiment 'none' here"),
        (("evaluate", MODEL, "--target", "nowhere", *asked[4:]), 2, "target"),
        (("evaluate", "none"), 3, "no model 'none'"),
    ):
        ended = bakeoff.run(*wrong)
        assert (ended.code, message in ended.err) == (code, True), ended.err
    assert bakeoff.processes() == []


def test_a_server_killed_in_the_middle_costs_only_what_was_under_way(
    tmp_path: Path, python: Path, kernel: np.ndarray
) -> None:
    server = mlserver(tmp_path / "server", kernel, delay_s=0.3)
    one = evaluation(tmp_path, server)
    rows = one.run / "checkpoints/test.rows"
    with server.running(python) as process, closing_input(one.start()) as worker:
        deadline = time.monotonic() + 60
        while not rows.is_file() or rows.stat().st_size < 16 * 16:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
        assert worker.wait(60) == 3
    kept = rows.stat().st_size // 16
    assert 16 <= kept < IMAGES
    assert f"Scored until then: {kept} of {IMAGES} images (test); they are kept" in one.error()
    assert not one.store.has("results", "evaluate-1")
    with server.running(python):
        assert one.finish() == 0
    events = (one.run / "events.jsonl").read_text()
    assert f"test: {kept} of {IMAGES} images are there from an earlier attempt" in events
    expected = published.linear(kernel)(published.images(IMAGES))
    np.testing.assert_allclose(one.predictions("test"), expected, atol=1e-6)
    assert not rows.exists()


def test_a_model_whose_classes_do_not_fit_the_data_is_refused_before_the_first_image(
    tmp_path: Path, python: Path, kernel: np.ndarray
) -> None:
    server = mlserver(tmp_path / "server", kernel, classes=4)
    one = evaluation(tmp_path, server)
    with server.running(python):
        assert one.finish() == 3
    assert "tells 4 classes apart, the data has 3" in one.error()
    assert not (one.run / "checkpoints").exists()
