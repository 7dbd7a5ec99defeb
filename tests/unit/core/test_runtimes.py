import subprocess
import sys
from pathlib import Path

import pytest

from core import runtimes
from core.errors import MissingExtraError
from core.formats import OTHER_RUNTIMES, formats_of


@pytest.mark.parametrize(
    ("runtime", "library", "extra"),
    [("onnxruntime", "onnxruntime", "serving"), *((name, "openvino", "serving-openvino") for name in OTHER_RUNTIMES)],
)
def test_a_runtime_that_is_not_installed_says_which_extra_to_install(
    monkeypatch: pytest.MonkeyPatch, runtime: str, library: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'bakeoff\[{extra}\]'"):
        runtimes.load("onnx", Path("model.onnx"), 1, runtime)


def test_every_runtime_has_formats_and_an_extra() -> None:
    assert set(OTHER_RUNTIMES) < set(runtimes.EXTRAS)
    assert all(formats_of(runtime) for runtime in runtimes.EXTRAS)
    assert formats_of("openvino") == ("onnx",)
    assert formats_of("abacus") == ()


def test_openvino_reports_its_use_to_nobody() -> None:
    code = (
        "from core.runtimes.openvino import import_openvino; import_openvino(); "
        "from openvino.tools.ovc import telemetry_utils; print(telemetry_utils.tm.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "openvino.tools.ovc.telemetry_stub", done.stderr
