"""A real artefact of each format, served by the runtime it belongs to."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from core import runtimes
from core.errors import WrongStateError
from core.runtimes.openvino import import_openvino
from tests.system.onnx_models import linear_model
from tests.system.serving_process import infer_request, launched, probabilities, publish, serving
from tests.unit.serving import published

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]


def export(repository: Path, framework: str, format_name: str) -> None:
    command = [sys.executable, "-m", "tests.system.export_artifact", framework, format_name, str(repository), "m"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("framework", "format_name", "runtime"),
    [
        ("keras", "keras", "tensorflow"),
        ("tensorflow", "savedmodel", "tensorflow"),
        ("pytorch", "pt2", "pytorch"),
        ("pytorch", "onnx", "onnxruntime"),
        ("pytorch", "onnx", "openvino"),
    ],
)
def test_an_exported_network_answers_the_same_alone_and_among_others(tmp_path, framework, format_name, runtime):
    export(tmp_path / "models", framework, format_name)
    golden = tmp_path / "models/m/1/golden"
    images, expected = np.load(golden / "images.npy"), np.load(golden / "probabilities.npy")
    flags = ("--trust-repository", "--model-control", "explicit", "--load-model", "m")
    with serving(tmp_path, tmp_path / "models", *flags, runtime=runtime) as server:

        def ask(count: int) -> float:
            response = server.stub.ModelInfer(infer_request("m", images[:count]), timeout=60)
            return float(np.abs(probabilities(response) - expected[:count]).max())

        with ThreadPoolExecutor(8) as clients:
            differences = list(clients.map(ask, [1, 2, 5, 8] * 4))
        assert max(differences) < 1e-5


@pytest.mark.parametrize("transport", ["grpcio", "envoy"])
def test_a_gpu_that_is_not_there_ends_the_server_with_its_reason(tmp_path, transport):
    if any(Path("/dev").glob("nvidia[0-9]*")):
        pytest.skip("this machine has a GPU")
    publish(tmp_path / "models", "m")
    flags = ("--runtime", "onnxruntime", "--repository", str(tmp_path / "models"), "--port", "0", "--device", "cuda")
    with launched(tmp_path, *flags, "--transport", transport) as (process, _, log):
        assert process.wait(60) == 1
    assert "the onnxruntime runtime finds no CUDA GPU here" in log.read_text()


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_session_that_fell_back_to_the_cpu_is_refused_unless_the_choice_is_open(tmp_path, monkeypatch):
    """A mock of the choice alone: ONNX Runtime's CPU build takes the CPU as the CUDA build does without cuDNN."""
    (tmp_path / "model.onnx").write_bytes(linear_model(published.weights(0), published.SHAPE))
    monkeypatch.setattr(runtimes.devices, "choose", lambda runtime, wanted: "cuda")
    with pytest.raises(WrongStateError, match="cannot use the CUDA GPU"):
        runtimes.load("onnx", tmp_path / "model.onnx", 1, device="cuda")
    warned = []
    # Not caplog: what another test set up for logging would decide whether it sees this.
    monkeypatch.setattr(runtimes.log, "warning", lambda text, *values: warned.append(text % values))
    predict = runtimes.load("onnx", tmp_path / "model.onnx", 1, device="auto")
    assert predict(published.images(2)).shape == (2, 3)
    assert len(warned) == 1
    assert warned[0].endswith("computing on the CPU")


def test_bfloat16_is_another_runtime_and_stays_near(tmp_path):
    if "BF16" not in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no bfloat16")
    export(tmp_path / "models", "pytorch", "onnx")
    golden = tmp_path / "models/m/1/golden"
    images, expected = np.load(golden / "images.npy"), np.load(golden / "probabilities.npy")
    with serving(tmp_path, tmp_path / "models", runtime="openvino-bf16") as server:
        difference = np.abs(probabilities(server.stub.ModelInfer(infer_request("m", images))) - expected).max()
    assert 1e-7 < difference < 0.02


@pytest.mark.parametrize("transport", ["grpcio", "envoy"])
def test_openvino_computes_behind_either_transport(tmp_path, transport):
    """Envoy brings an allocator of its own."""
    publish(tmp_path / "models", "m")
    with serving(tmp_path, tmp_path / "models", "--transport", transport, runtime="openvino") as server:
        for count in (1, 3, 8):
            got = probabilities(server.stub.ModelInfer(infer_request("m", published.images(count)), timeout=60))
            assert got.shape == (count, 3)


def test_a_format_that_can_run_code_is_not_loaded_without_trust(tmp_path):
    published.publish(tmp_path / "models", "m", published.linear(published.weights()), format_name="pt2")
    flags = ["--runtime", "pytorch", "--repository", str(tmp_path / "models")]
    with launched(tmp_path, *flags, "--model-control", "explicit", "--load-model", "m") as (process, _, log):
        assert process.wait(60) == 1
    assert "start the server with --trust-repository" in log.read_text()
