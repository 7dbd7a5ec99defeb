"""A stream of predictions as both clients keep it: numbers the requests and gives the answers in their order."""

from collections.abc import Iterator

import numpy as np
from inference import grpc_service_pb2 as pb
from numpy.typing import NDArray

from core.errors import BakeoffError, InvalidInputError
from services.client import tensors
from services.client.tensors import Prediction

Answer = Prediction | BakeoffError
"""What one request of a stream became; the protocol tells of an error its message only."""


class Conversation:
    """One stream. The requests come from one thread while another reads the answers."""

    def __init__(self, model: str, version: int | None, max_message_bytes: int) -> None:
        self._model, self._version, self._limit = model, version, max_message_bytes
        self._sent = self._given = 0
        self._images: dict[int, int] = {}
        """Images of each request that is not answered."""
        self._early: dict[int, Answer] = {}
        """Answers that overtook others: a server may give them in any order."""

    def request(self, images: NDArray[np.uint8]) -> pb.ModelInferRequest:
        """The next request. Raises InvalidInputError or ExhaustedError as a prediction alone does."""
        request = tensors.infer_request(self._model, images, self._version, self._limit)
        request.id = str(self._sent)
        self._images[self._sent] = len(images)
        self._sent += 1
        return request

    def answers(self, response: pb.ModelStreamInferResponse) -> Iterator[Answer]:
        """The answers whose turn has come with this one. Raises BakeoffError for one that nobody asked for."""
        id_ = response.infer_response.id
        number = int(id_) if id_.isdecimal() else -1
        images = self._images.pop(number, None)
        if images is None:
            raise BakeoffError(
                f"the stream of model {self._model!r} has an answer to a request {id_!r} nobody waits for"
            )
        self._early[number] = _answer(response, images)
        while self._given in self._early:
            yield self._early.pop(self._given)
            self._given += 1

    def check_complete(self) -> None:
        """Raises BakeoffError when the server ended the stream before it had answered everything."""
        if self._images:
            raise BakeoffError(
                f"the stream of model {self._model!r} ended with {len(self._images)} requests unanswered"
            )


def check_in_flight(in_flight: int) -> None:
    """Raises InvalidInputError for a number that lets nothing through."""
    if in_flight < 1:
        raise InvalidInputError(f"in_flight is {in_flight}; expected at least 1")


def _answer(response: pb.ModelStreamInferResponse, images: int) -> Answer:
    if response.error_message:
        return BakeoffError(response.error_message)
    try:
        return tensors.prediction(response.infer_response, images)
    except BakeoffError as error:
        return error
