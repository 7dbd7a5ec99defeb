"""A stream of predictions as both clients keep it: numbers the requests and gives the answers in their order."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import grpc
import numpy as np
from inference import grpc_service_pb2 as pb
from numpy.typing import NDArray

from core.errors import BakeoffError, ExhaustedError, InvalidInputError
from services.client import tensors
from services.client.channels import MAX_ATTEMPTS
from services.client.tensors import Prediction
from services.rpc.errors import BY_CODE, CODE, PUSHBACK

Answer = Prediction | BakeoffError
"""What one request of a stream became; an error is of the kind that a call of its own would have raised, where the
server tells, else a plain BakeoffError."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Leave to send something: the next batch, or what the server refused for now."""

    again: pb.ModelInferRequest | None = None
    due: float = 0.0
    """time.monotonic from when on the server wants to be asked again."""


@dataclass(slots=True)
class _Sent:
    """A request without an answer; it is kept to be sent again."""

    request: pb.ModelInferRequest
    images: int
    attempts: int = 1


class Conversation:
    """One stream. The requests come from one thread while another reads the answers.

    Args:
        attempts: how often a request is sent while the server refuses it for now; 1: once.
        batches: what to ask, arrays as a prediction alone takes them.
    """

    def __init__(
        self,
        model: str,
        version: int | None,
        max_message_bytes: int,
        attempts: int = 1,
        batches: Iterable[NDArray[np.uint8]] = (),
    ) -> None:
        self._model, self._version, self._limit = model, version, max_message_bytes
        self._attempts = min(attempts, MAX_ATTEMPTS)
        self._batches = iter(batches)
        self._exhausted = False
        self._failure: Exception | None = None
        self._count = self._given = 0
        self._sent: dict[int, _Sent] = {}
        self._early: dict[int, Answer] = {}
        """Answers that overtook others: a server may give them in any order."""

    @property
    def finished(self) -> bool:
        """Whether every batch was answered, and there are no more."""
        return self._exhausted and not self._sent

    def take(self) -> pb.ModelInferRequest | None:
        """The request for the next batch; None when there are no more, or the next one cannot be sent or had."""
        if self._exhausted:
            return None
        try:
            images = next(self._batches, None)
            if images is not None:
                return self.request(images)
        except Exception as error:
            # gRPC would only log it.
            self._failure = error
        self._exhausted = True
        return None

    def request(self, images: NDArray[np.uint8]) -> pb.ModelInferRequest:
        """The next request. Raises InvalidInputError or ExhaustedError as a prediction alone does."""
        request = tensors.infer_request(self._model, images, self._version, self._limit)
        request.id = str(self._count)
        self._sent[self._count] = _Sent(request, len(images))
        self._count += 1
        return request

    def again(self, response: pb.ModelStreamInferResponse) -> Turn | None:
        """When to send a request again that the server refuses for now; None for what `answers` should have."""
        sent, hint = self._sent.get(_number(response)), _retry_after_s(response)
        if sent is None or hint is None or sent.attempts >= self._attempts:
            return None
        sent.attempts += 1
        return Turn(sent.request, time.monotonic() + hint)

    def answers(self, response: pb.ModelStreamInferResponse) -> Iterator[Answer]:
        """The answers whose turn has come with this one. Raises BakeoffError for one that nobody asked for."""
        number = _number(response)
        sent = self._sent.pop(number, None)
        if sent is None:
            raise BakeoffError(
                f"the stream of model {self._model!r} has an answer to a request {response.infer_response.id!r} "
                "nobody waits for"
            )
        self._early[number] = _answer(response, sent.images)
        while self._given in self._early:
            yield self._early.pop(self._given)
            self._given += 1

    def check_complete(self) -> None:
        """Raises what kept a batch from being sent, or BakeoffError when the server ended the stream before it had
        everything, or had answered everything."""
        if self._failure is not None:
            raise self._failure
        if not self.finished:
            raise BakeoffError(
                f"the server ended the stream of model {self._model!r} with {len(self._sent)} requests unanswered"
                + ("" if self._exhausted else " and batches left to send")
            )


def check_in_flight(in_flight: int) -> None:
    """Raises InvalidInputError for a number that lets nothing through."""
    if in_flight < 1:
        raise InvalidInputError(f"in_flight is {in_flight}; expected at least 1")


def _number(response: pb.ModelStreamInferResponse) -> int:
    """Of the request that is answered; -1 for an id that is none of ours."""
    id_ = response.infer_response.id
    return int(id_) if id_.isdecimal() else -1


def _answer(response: pb.ModelStreamInferResponse, images: int) -> Answer:
    if response.error_message:
        return _error(response)
    try:
        return tensors.prediction(response.infer_response, images)
    except BakeoffError as error:
        return error


def _error(response: pb.ModelStreamInferResponse) -> BakeoffError:
    """The domain error of a refused request. Servers other than ours tell its message only."""
    name = response.infer_response.parameters[CODE].string_param
    kind = BY_CODE.get(grpc.StatusCode[name]) if name in grpc.StatusCode.__members__ else None
    if kind is ExhaustedError:
        return ExhaustedError(response.error_message, _retry_after_s(response))
    return (kind or BakeoffError)(response.error_message)


def _retry_after_s(response: pb.ModelStreamInferResponse) -> float | None:
    """When the server wants to be asked again, in seconds; None where it does not say, or did not refuse."""
    parameters = response.infer_response.parameters
    if not response.error_message or PUSHBACK not in parameters:
        return None
    wait_ms = parameters[PUSHBACK].int64_param
    return wait_ms / 1000 if wait_ms >= 0 else None
