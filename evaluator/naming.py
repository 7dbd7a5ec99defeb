"""How rows are called where a table has no column for precision or runtime."""

from core.schemas.summary import Row
from evaluator import text


def made(row: Row) -> str:
    """`ONNX`, `ONNX int8`."""
    return text.format_name(row.format) + " int8" * row.quantised


def served(row: Row) -> str:
    """As `made`, with the runtime where it is not the format's own: `ONNX on OpenVINO`."""
    own = row.variant and not (row.quantised and row.runtime == "onnxruntime")
    return f"{made(row)} on {text.runtime(row.runtime)}" if own else made(row)
