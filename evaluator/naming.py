"""How artefacts are called where a table has no column for precision or runtime."""

from core.formats import get_format
from core.schemas.summary import Classification, Row
from evaluator import text


def made(row: Row) -> str:
    """`ONNX`, `ONNX int8`."""
    return _made(row.format, row.precision)


def served(row: Row | Classification) -> str:
    """As `made`, with the runtime where it is not the format's own: `ONNX on OpenVINO`."""
    other = row.runtime != get_format(row.format).runtime
    return _made(row.format, row.precision) + (f" on {text.runtime(row.runtime)}" if other else "")


def _made(format_name: str, precision: str) -> str:
    return text.format_name(format_name) + " int8" * (precision == "int8")
