"""What every ONNX export must satisfy, read back from the file."""

from pathlib import Path

from core.errors import BakeoffError
from core.schemas.artifact import OnnxFacts

INPUT, OUTPUT = "image", "probabilities"


def read_facts(path: Path) -> OnnxFacts:
    """Opset, IR version and Transpose nodes of a checked model.

    Raises:
        BakeoffError: the checker refuses it, it needs other files, or its inputs and outputs are not the contract's.
    """
    import onnx

    model = onnx.load(path, load_external_data=False)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise BakeoffError(f"{path.name} is not a valid ONNX model: {error}") from error
    _check_interface(model, path)
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise BakeoffError(f"{path.name} keeps weights in another file; export it with everything inside")
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    transposes = sum(node.op_type == "Transpose" for node in model.graph.node)
    return OnnxFacts(opset=opset, ir_version=model.ir_version, transposes=transposes)


def _check_interface(model: "onnx.ModelProto", path: Path) -> None:  # type: ignore[name-defined]  # noqa: F821
    names = [value.name for value in (*model.graph.input, *model.graph.output)]
    if names != [INPUT, OUTPUT]:
        raise BakeoffError(f"{path.name} has inputs and outputs {names}, expected {[INPUT, OUTPUT]}")
    for value in (*model.graph.input, *model.graph.output):
        batch = value.type.tensor_type.shape.dim[0]
        if batch.HasField("dim_value"):
            raise BakeoffError(
                f"{path.name}: {value.name} has a fixed batch of {batch.dim_value}, expected a dynamic one"
            )
