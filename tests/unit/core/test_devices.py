from fnmatch import fnmatch
from pathlib import Path

import onnxruntime
import pytest

from core.errors import WrongStateError
from core.runtimes import devices

CPU = "CPUExecutionProvider"


def machine(monkeypatch: pytest.MonkeyPatch, *nodes: str, providers: tuple[str, ...] = (CPU,)) -> None:
    """A mock of /dev and of ONNX Runtime's build, since no machine with a GPU runs these tests."""

    def glob(path: Path, pattern: str) -> list[Path]:
        return [path / node for node in nodes if path == Path("/dev") and fnmatch(node, pattern)]

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(providers))
    monkeypatch.setattr(Path, "glob", glob)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "openvino-bf16"])
def test_without_a_gpu_auto_is_the_cpu_and_cuda_is_refused(monkeypatch: pytest.MonkeyPatch, runtime: str) -> None:
    machine(monkeypatch)
    assert devices.choose(runtime, "auto") == devices.choose(runtime, "cpu") == "cpu"
    with pytest.raises(WrongStateError, match=f"the {runtime} runtime .*set --device to auto or cpu"):
        devices.choose(runtime, "cuda")


def test_a_build_with_cuda_needs_a_gpu_too(monkeypatch: pytest.MonkeyPatch) -> None:
    build = (devices.CUDA_PROVIDER, CPU)
    machine(monkeypatch, "nvidiactl", "nvidia-uvm", providers=build)
    assert devices.choose("onnxruntime", "auto") == "cpu"
    machine(monkeypatch, "nvidiactl", "nvidia0", providers=build)
    assert devices.choose("onnxruntime", "auto") == devices.choose("onnxruntime", "cuda") == "cuda"
    assert devices.choose("onnxruntime", "cpu") == "cpu"
