"""Names as people read them."""

from typing import get_args

from core import labels
from core.schemas.names import FRAMEWORKS, RUNTIMES, FormatName


def test_every_framework_format_and_runtime_has_a_name() -> None:
    assert set(labels.FRAMEWORK_NAMES) == set(FRAMEWORKS)
    assert set(labels.FORMAT_NAMES) == set(get_args(FormatName))
    assert set(labels.RUNTIME_NAMES) == set(RUNTIMES)


def test_an_int8_artefact_says_so_and_an_unknown_name_stays_as_it_is() -> None:
    assert labels.made("onnx", "int8") == "ONNX int8"
    assert labels.made("keras", "fp32") == ".keras"
    assert labels.runtime("tensorrt") == "tensorrt"
