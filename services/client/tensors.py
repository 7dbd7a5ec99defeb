"""Open Inference Protocol messages to plain values and back. Pure: no channel, no waiting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pydantic
from inference import grpc_service_pb2 as pb
from numpy.typing import NDArray

from core.errors import BakeoffError, ExhaustedError, InvalidInputError, NotFoundError
from core.schemas.base import explain, parse_json
from core.schemas.data import ImageSpec

INPUT, OUTPUT = "image", "probabilities"
"""Tensor names of every exported artefact."""
PREPROCESS, CLASSES, ARTIFACT = "bakeoff.preprocess", "bakeoff.classes", "bakeoff.artifact"
"""Keys of ModelConfig parameters: an ImageSpec as JSON, ordered class names as a JSON list, the artefact's digest."""
STATISTICS = {
    "queue": "queue",
    "preprocess": "compute_input",
    "infer": "compute_infer",
    "postprocess": "compute_output",
}
"""Phase to its field of InferStatistics."""
CLASS_NAMES = pydantic.TypeAdapter(tuple[str, ...])
OVERHEAD_BYTES = 4096
"""Room for names, shape and parameters beside the pixels."""


@dataclass(frozen=True)
class Prediction:
    """What a model said about a batch, and what the server told about the work."""

    probabilities: NDArray[np.float32]
    """float32 [n, classes]."""
    server_ns: Mapping[str, int] = field(default_factory=dict)
    """Nanoseconds by phase (queue, preprocess, infer, postprocess); empty where the server reported none."""
    batch_size: int = 0
    """Images in the batch the server executed, other callers' included; 0 where it did not say."""
    model_version: str = ""


@dataclass(frozen=True)
class Tensor:
    """Name, type and shape of an input or output; -1 is a free dimension."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ModelMetadata:
    """What a server tells about a model."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True)
class ImageContract:
    """How files become a model's input, and what its outputs are called."""

    spec: ImageSpec
    classes: tuple[str, ...]
    """In the order of the probabilities; empty where the server does not tell."""
    artifact: str = ""
    """sha256 over the files that answer; empty where the server does not tell."""


@dataclass(frozen=True)
class IndexEntry:
    """One model version in a server's repository."""

    name: str
    version: str
    state: str
    reason: str


@dataclass(frozen=True)
class ModelStatistics:
    """What a server has counted for a model since it was loaded. Subtract two readings for what lay between them."""

    requests: int
    """Answered."""
    images: int
    batches: int
    """Executed."""
    phase_ns: Mapping[str, int]
    """Nanoseconds over all requests: queue, preprocess, infer, postprocess."""


def infer_request(
    model: str, images: NDArray[np.uint8], version: int | None, max_message_bytes: int
) -> pb.ModelInferRequest:
    """A ModelInfer request with the pixels as raw contents.

    Args:
        images: uint8 [n, height, width, channels], n ≥ 1.
        version: None lets the server choose.

    Raises:
        InvalidInputError: another dtype or number of dimensions, or no image.
        ExhaustedError: larger than a message may be.
    """
    _check_images(images, max_message_bytes)
    request = pb.ModelInferRequest(model_name=model, model_version=version_text(version))
    tensor = request.inputs.add(name=INPUT, datatype="UINT8")
    tensor.shape.extend(images.shape)
    request.raw_input_contents.append(images.tobytes())
    return request


def _check_images(images: NDArray[np.uint8], max_message_bytes: int) -> None:
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        got = images.dtype if isinstance(images, np.ndarray) else type(images).__name__
        raise InvalidInputError(f"images are {got}; expected a uint8 array of raw pixels 0 to 255")
    if images.ndim != 4 or 0 in images.shape:
        raise InvalidInputError(
            f"images have shape {list(images.shape)}; expected [n, height, width, channels] with at least one image"
        )
    if images.nbytes + OVERHEAD_BYTES > max_message_bytes:
        raise ExhaustedError(
            f"{len(images)} images are {images.nbytes} bytes, more than a message of {max_message_bytes} may hold; "
            "send fewer images in a call, or raise max_message_bytes here and on the server"
        )


def prediction(response: pb.ModelInferResponse, images: int) -> Prediction:
    """Reads a ModelInfer reply to a request of `images` images, from raw or typed contents.

    Raises:
        BakeoffError: no FP32 `probabilities` [images, classes] in it, or fewer numbers than its shape says.
    """
    index, tensor = _find_output(response)
    shape = tuple(tensor.shape)
    if tensor.datatype != "FP32" or len(shape) != 2 or shape[0] != images:
        raise BakeoffError(
            f"model {response.model_name!r} answered {tensor.datatype} {list(shape)} to {images} images; "
            f"expected FP32 [{images}, classes]"
        )
    if response.raw_output_contents:
        raw = response.raw_output_contents[index] if index < len(response.raw_output_contents) else b""
        numbers = np.frombuffer(raw[: len(raw) // 4 * 4], dtype="<f4")
    else:
        numbers = np.array(tensor.contents.fp32_contents, dtype=np.float32)
    if numbers.size != shape[0] * shape[1]:
        raise BakeoffError(
            f"model {response.model_name!r} sent {numbers.size} numbers for an output of shape {list(shape)}"
        )
    server_ns, batch_size = _timings(response.parameters)
    return Prediction(numbers.reshape(shape), server_ns, batch_size, response.model_version)


def _find_output(response: pb.ModelInferResponse) -> tuple[int, Any]:
    for index, tensor in enumerate(response.outputs):
        if tensor.name == OUTPUT:
            return index, tensor
    names = ", ".join(tensor.name for tensor in response.outputs) or "none"
    raise BakeoffError(f"the reply of model {response.model_name!r} has no output {OUTPUT!r} (outputs: {names})")


def _timings(parameters: Mapping[str, Any]) -> tuple[dict[str, int], int]:
    server_ns, batch_size = {}, 0
    for key, value in parameters.items():
        if key.endswith("_ns"):
            server_ns[key.removesuffix("_ns")] = _integer(value)
        elif key == "batch_size":
            batch_size = _integer(value)
    return server_ns, batch_size


def _integer(parameter: Any) -> int:
    kind = parameter.WhichOneof("parameter_choice")
    return int(getattr(parameter, kind)) if kind and kind != "string_param" else 0


def join(predictions: Sequence[Prediction]) -> Prediction:
    """Several predictions of one model as one: rows in order, phases summed, the largest batch."""
    phases = sorted({phase for one in predictions for phase in one.server_ns})
    return Prediction(
        np.concatenate([one.probabilities for one in predictions]),
        {phase: sum(one.server_ns.get(phase, 0) for one in predictions) for phase in phases},
        max(one.batch_size for one in predictions),
        predictions[-1].model_version,
    )


def version_text(version: int | None) -> str:
    """The wire's version: empty lets the server choose."""
    return "" if version is None else str(version)


def model_metadata(response: pb.ModelMetadataResponse) -> ModelMetadata:
    """Reads a ModelMetadata reply."""
    return ModelMetadata(
        response.name,
        tuple(response.versions),
        response.platform,
        tuple(Tensor(t.name, t.datatype, tuple(t.shape)) for t in response.inputs),
        tuple(Tensor(t.name, t.datatype, tuple(t.shape)) for t in response.outputs),
    )


def image_contract(response: pb.ModelConfigResponse) -> ImageContract:
    """Reads the preprocessing of a model from its configuration.

    Raises:
        NotFoundError: the model was not published by Bakeoff, so nothing says how files become its input.
        InvalidInputError: a parameter is not what its name says.
    """
    config = response.config
    values = {key: parameter.string_value for key, parameter in config.parameters.items()}
    if PREPROCESS not in values:
        raise NotFoundError(
            f"the configuration of model {config.name!r} has no parameter {PREPROCESS!r}: "
            "decode and resize the images yourself and call predict with arrays"
        )
    spec = parse_json(ImageSpec, values[PREPROCESS], f"parameter {PREPROCESS} of model {config.name!r}")
    try:
        return ImageContract(spec, CLASS_NAMES.validate_json(values.get(CLASSES, "[]")), values.get(ARTIFACT, ""))
    except pydantic.ValidationError as error:
        raise InvalidInputError(
            f"parameter {CLASSES} of model {config.name!r} is not valid: {explain(error)}"
        ) from error


def index_entries(response: pb.RepositoryIndexResponse) -> list[IndexEntry]:
    """Reads a RepositoryIndex reply."""
    return [IndexEntry(m.name, m.version, m.state, m.reason) for m in response.models]


def model_statistics(response: pb.ModelStatisticsResponse) -> ModelStatistics:
    """Reads a ModelStatistics reply, the versions in it added up."""
    phases: dict[str, int] = {}
    for name, read in STATISTICS.items():
        phases[name] = sum(getattr(model.inference_stats, read).ns for model in response.model_stats)
    return ModelStatistics(
        sum(model.inference_stats.success.count for model in response.model_stats),
        sum(model.inference_count for model in response.model_stats),
        sum(model.execution_count for model in response.model_stats),
        phases,
    )
