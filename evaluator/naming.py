"""How artefacts are called where a table has no column for precision or runtime."""

from core import labels
from core.formats import get_format
from core.schemas.summary import Classification, Row
from evaluator import text


def made(row: Row | Classification) -> str:
    """`ONNX`, `ONNX int8`."""
    return labels.made(row.format, row.precision)


def served(row: Row | Classification) -> str:
    """As `made`, with the runtime where it is not the format's own: `ONNX on OpenVINO`."""
    other = row.runtime != get_format(row.format).runtime
    return made(row) + (f" on {text.runtime(row.runtime)}" if other else "")
