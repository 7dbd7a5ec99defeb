"""Protocol messages to what the handler knows, and back. Every transport uses these; none of them thinks."""

import time
from collections.abc import Iterable, Mapping
from importlib import metadata

from google.protobuf import text_format
from inference import grpc_service_pb2 as pb

from core.errors import InvalidInputError
from services.rpc.errors import CODE
from services.serving import tensors
from services.serving.config import INPUT, INPUT_TYPE, OUTPUT, OUTPUT_TYPE
from services.serving.control import IndexEntry
from services.serving.models import ServedModel
from services.serving.requests import InferRequest, InferResult, OutputRequest, Timing
from services.serving.statistics import Duration

EXTENSIONS = (
    "classification",
    "model_repository",
    "model_repository(unload_dependents)",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
)
"""Of Triton's list, what this server has."""


def infer_request(message: pb.ModelInferRequest, arrived_ns: int, remaining_s: float | None) -> InferRequest:
    """Reads a request.

    Args:
        arrived_ns: time.monotonic_ns when it came in.
        remaining_s: seconds the caller still waits; None when it set no deadline.

    Raises:
        InvalidInputError: data that does not fit its shape and datatype, or a parameter this server cannot honour.
    """
    for given in message.inputs:
        if given.parameters:
            _refuse_shared_memory(given.name, given.parameters)
    return InferRequest(
        model=message.model_name,
        version=message.model_version,
        id=message.id,
        inputs=tensors.read_inputs(message),
        outputs=tuple(map(_output_request, message.outputs)),
        arrived_ns=arrived_ns,
        deadline_ns=None if remaining_s is None else time.monotonic_ns() + int(remaining_s * 1e9),
        timeout_us=_timeout_us(message),
        typed=not message.raw_input_contents,
    )


def infer_response(result: InferResult) -> pb.ModelInferResponse:
    """Writes an answer: typed where the request was typed, raw otherwise."""
    response = pb.ModelInferResponse(model_name=result.model, model_version=str(result.version), id=result.id)
    for tensor in result.outputs:
        output = response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.array.shape)
        if result.typed:
            tensors.write_typed(tensor, output.contents)
        else:
            response.raw_output_contents.append(tensors.write_raw(tensor))
    _write_timing(result.timing, response)
    return response


def stream_error(id_: str, code: str, message: str, hint: Iterable[tuple[str, str]]) -> pb.ModelStreamInferResponse:
    """A refused request of a stream.

    Args:
        code: name of the gRPC code that a call of its own would have ended with.
        hint: the trailing metadata it would have had, whole numbers, which say when to try again.
    """
    response = pb.ModelStreamInferResponse(error_message=message)
    response.infer_response.id = id_
    parameters = response.infer_response.parameters
    parameters[CODE].string_param = code
    for name, value in hint:
        parameters[name].int64_param = int(value)
    return response


def server_metadata() -> pb.ServerMetadataResponse:
    """What this server is."""
    return pb.ServerMetadataResponse(name="bakeoff", version=metadata.version("bakeoff"), extensions=EXTENSIONS)


def model_metadata(model: ServedModel, versions: Iterable[int]) -> pb.ModelMetadataResponse:
    """Signature of a model; -1 stands for the batch dimension."""
    tensor = pb.ModelMetadataResponse.TensorMetadata
    return pb.ModelMetadataResponse(
        name=model.name,
        versions=map(str, versions),
        platform=model.config.message.platform or model.config.message.backend,
        inputs=[tensor(name=INPUT, datatype=INPUT_TYPE, shape=[-1, *model.config.shape])],
        outputs=[tensor(name=OUTPUT, datatype=OUTPUT_TYPE, shape=[-1, len(model.config.classes)])],
    )


def model_statistics(model: ServedModel) -> pb.ModelStatistics:
    """Counts and cumulative times of one version."""
    statistics, phases = model.statistics, model.statistics.phases
    message = pb.ModelStatistics(
        name=model.name,
        version=str(model.version),
        last_inference=statistics.last_ms,
        inference_count=statistics.images,
        execution_count=statistics.executions,
        inference_stats=pb.InferStatistics(
            success=_duration(statistics.success),
            fail=_duration(statistics.fail),
            queue=_duration(phases["queue"]),
            compute_input=_duration(phases["preprocess"]),
            compute_infer=_duration(phases["infer"]),
            compute_output=_duration(phases["postprocess"]),
            cache_hit=pb.StatisticDuration(),
            cache_miss=pb.StatisticDuration(),
        ),
    )
    for images, batch in sorted(statistics.batches.items()):
        message.batch_stats.add(
            batch_size=images,
            compute_input=_duration(batch.compute_input),
            compute_infer=_duration(batch.compute_infer),
            compute_output=_duration(batch.compute_output),
        )
    return message


def repository_index(entries: Iterable[IndexEntry]) -> pb.RepositoryIndexResponse:
    """The models of the repository and their states."""
    index = pb.RepositoryIndexResponse.ModelIndex
    return pb.RepositoryIndexResponse(
        models=[index(name=one.name, version=one.version, state=one.state, reason=one.reason) for one in entries]
    )


def check_repository(name: str) -> None:
    """There is one repository, and it has no name. Raises InvalidInputError."""
    if name:
        raise InvalidInputError(f"repository_name is {name!r}; this server has one repository, leave it empty")


def _output_request(message: pb.ModelInferRequest.InferRequestedOutputTensor) -> OutputRequest:
    if not message.parameters:
        return OutputRequest(message.name)
    _refuse_shared_memory(message.name, message.parameters)
    wanted = message.parameters.get("classification")
    if wanted is None:
        return OutputRequest(message.name)
    if wanted.WhichOneof("parameter_choice") != "int64_param" or wanted.int64_param < 1:
        raise InvalidInputError(f"classification of output {message.name!r} must be a whole number of at least 1")
    return OutputRequest(message.name, wanted.int64_param)


def _timeout_us(message: pb.ModelInferRequest) -> int:
    """The request's own `timeout` parameter; 0 is none, as in Triton."""
    if not message.parameters or "timeout" not in message.parameters:
        return 0
    given = message.parameters["timeout"]
    timeout_us = given.int64_param or given.uint64_param
    if given.WhichOneof("parameter_choice") not in ("int64_param", "uint64_param") or timeout_us < 0:
        raise InvalidInputError(
            f"parameter 'timeout' is {text_format.MessageToString(given, as_one_line=True) or 'empty'}, expected a "
            "whole number of microseconds, 0 for none"
        )
    return timeout_us


def _refuse_shared_memory(name: str, parameters: Mapping[str, pb.InferParameter]) -> None:
    if "shared_memory_region" in parameters:
        raise InvalidInputError(f"tensor {name!r} is in shared memory, which this server does not have; send the data")


def _write_timing(timing: Timing, response: pb.ModelInferResponse) -> None:
    parameters = response.parameters
    parameters["queue_ns"].int64_param = timing.queue_ns
    parameters["preprocess_ns"].int64_param = timing.preprocess_ns
    parameters["infer_ns"].int64_param = timing.infer_ns
    parameters["postprocess_ns"].int64_param = timing.postprocess_ns
    parameters["batch_size"].int64_param = timing.batch_size


def _duration(duration: Duration) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=duration.count, ns=duration.ns)
