"""Answers inference requests. It knows models and arrays, no transport."""

import asyncio
import time
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import BakeoffError, DeadlineError, ExhaustedError, InvalidInputError
from services.serving.batcher import Answer, WaitedTooLongError
from services.serving.config import INPUT, INPUT_TYPE, OUTPUT, OUTPUT_TYPE, ServedConfig
from services.serving.models import ServedModel
from services.serving.requests import InferRequest, InferResult, OutputRequest, Tensor, Timing

ALL_OUTPUTS = (OutputRequest(OUTPUT),)


class FindsModels(Protocol):
    """Knows which loaded version answers; see Models."""

    def get(self, name: str, version: str = "") -> ServedModel: ...

    def only(self) -> ServedModel | None: ...


class InferenceHandler:
    """Checks a request against its model, has it computed, and shapes the answer."""

    def __init__(self, models: FindsModels) -> None:
        self._models = models
        self.last_arrival = time.monotonic()
        """time.monotonic when the newest request came in."""
        self.unassigned = 0
        """Requests that failed and belong to no loaded model: an unknown name, or bytes that are no request."""

    def refusal(self) -> ExhaustedError | None:
        """Why any request would be refused now; None: it must be read. Counts the request as a rejected one.

        Known before a request is read where one model is served: with several, the request says whose queue it wants.
        """
        model = self._models.only()
        refusal = None if model is None else model.batcher.refusal()
        if model is not None and refusal is not None:
            self.last_arrival = time.monotonic()
            model.statistics.failed(_reason(refusal), 0)
        return refusal

    async def infer(self, request: InferRequest) -> InferResult:
        """Runs one request.

        Raises:
            NotFoundError, NotReadyError: no such model or version, or not at the moment.
            InvalidInputError: what was sent does not fit the model; the message says what would.
            ExhaustedError: the model's queue is full.
            DeadlineError: nobody waits for the answer any more.
        """
        self.last_arrival = time.monotonic()
        try:
            model = self._models.get(request.model, request.version)
        except BakeoffError:
            self.unassigned += 1
            raise
        with model.used():
            try:
                return await _run(model, request)
            except (Exception, asyncio.CancelledError) as error:
                model.statistics.failed(_reason(error), time.monotonic_ns() - request.arrived_ns)
                raise

    def unread(self, name: str, version: str, error: Exception, arrived_ns: int) -> None:
        """Counts a request that could not be read, for the model it names where that is loaded."""
        try:
            model = self._models.get(name, version)
        except BakeoffError:
            self.unassigned += 1
        else:
            model.statistics.failed(_reason(error), time.monotonic_ns() - arrived_ns)


async def _run(model: ServedModel, request: InferRequest) -> InferResult:
    images = _images(model, request.inputs)
    wanted = request.outputs or ALL_OUTPUTS
    for output in wanted:
        _check_output(model, output)
    checked_ns = time.monotonic_ns()
    answer = await model.batcher.infer(images, request.deadline_ns, request.timeout_us)
    outputs = tuple(_output(output, answer, model.config.classes) for output in wanted)
    ended_ns = time.monotonic_ns()
    timing = Timing(
        queue_ns=answer.queue_ns,
        preprocess_ns=checked_ns - request.arrived_ns + answer.input_ns,
        infer_ns=answer.infer_ns,
        postprocess_ns=ended_ns - answer.computed_ns,
        batch_size=answer.batch_size,
    )
    model.statistics.answered(len(images), timing, ended_ns - request.arrived_ns)
    return InferResult(model.name, model.version, request.id, outputs, timing, request.typed)


def _images(model: ServedModel, inputs: tuple[Tensor, ...]) -> NDArray[np.uint8]:
    """The one input, checked against the model."""
    config = model.config
    names = [tensor.name for tensor in inputs]
    if names != [INPUT]:
        raise InvalidInputError(f"model {model.name!r} takes one input, {INPUT!r}; got {', '.join(names) or 'none'}")
    tensor = inputs[0]
    if tensor.datatype != INPUT_TYPE:
        raise InvalidInputError(
            f"input {INPUT!r} of model {model.name!r} is {tensor.datatype}, expected {INPUT_TYPE}: raw pixels, 0 to 255"
        )
    shape = tensor.array.shape
    if shape[1:] != config.shape or not 1 <= shape[0] <= config.max_request:
        raise InvalidInputError(_shape_problem(model.name, shape, config))
    return tensor.array


def _shape_problem(name: str, shape: tuple[int, ...], config: ServedConfig) -> str:
    expected = ["1…" + str(config.max_request), *config.shape]
    advice = "decode and resize as artifact.json says"
    if shape[1:] == config.shape:
        advice = (
            "send at least one image" if not shape[0] else f"divide it into requests of at most {config.max_request}"
        )
    return (
        f"input {INPUT!r} of model {name!r} has shape {list(shape)}, expected [{', '.join(map(str, expected))}] "
        f"(images, height, width, channels): {advice}"
    )


def _check_output(model: ServedModel, output: OutputRequest) -> None:
    if output.name != OUTPUT:
        raise InvalidInputError(f"model {model.name!r} has no output {output.name!r}; it has {OUTPUT!r}")


def _output(wanted: OutputRequest, answer: Answer, classes: tuple[str, ...]) -> Tensor:
    if not wanted.classification:
        return Tensor(OUTPUT, OUTPUT_TYPE, answer.probabilities)
    return Tensor(OUTPUT, "BYTES", classify(answer.probabilities, classes, wanted.classification))


def classify(probabilities: NDArray[np.float32], classes: tuple[str, ...], count: int) -> NDArray[np.object_]:
    """The best classes of each row, best first, as Triton writes them; all of them where `count` is larger.

    Returns:
        bytes objects `<probability>:<index>:<class>`, [n, min(count, classes)].
    """
    # Stable, so that equal probabilities keep the order of the classes.
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    labels = [
        [f"{row[index]:f}:{index}:{classes[index]}".encode() for index in indices]
        for row, indices in zip(probabilities, best, strict=True)
    ]
    array = np.empty(best.shape, object)
    array[:] = labels
    return array


def _reason(error: BaseException) -> str:
    """Triton's `reason` label of a failed request; see `statistics.REASONS`."""
    if isinstance(error, ExhaustedError | WaitedTooLongError):
        return "REJECTED"
    if isinstance(error, DeadlineError | asyncio.CancelledError):
        return "CANCELED"
    # What is not raised on purpose comes from the runtime: nothing else here runs foreign code.
    return "OTHER" if isinstance(error, BakeoffError) else "BACKEND"
