"""The inference client for asyncio: the same names, awaited, with many calls in flight on one connection."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np
from inference import grpc_service_pb2 as pb
from inference import grpc_service_pb2_grpc as stubs
from numpy.typing import NDArray

from core.errors import DeadlineError, NotFoundError, NotReadyError
from services.client import tensors
from services.client.channels import MAX_MESSAGE_BYTES, SILENT, Options, channel_options, domain_error
from services.client.images import batches, decode_files
from services.client.security import Security, from_environment
from services.client.stream import Answer, Conversation, Turn, check_in_flight
from services.client.tensors import ImageContract, IndexEntry, ModelMetadata, ModelStatistics, Prediction

WRITE_FAILED = "Internal error from Core"
"""What grpc.aio says, with INTERNAL, when a request of a stream finds the stream ended, whatever ended it."""


class AsyncInferenceClient:
    """Speaks to one server over one channel, from one event loop. Use as an async context manager, or `close` it.

    Arguments and errors are those of `services.client.inference.InferenceClient`.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout_s: float = 30.0,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        attempts: int = 4,
        options: Options = (),
        security: Security | None = None,
    ) -> None:
        self.target = target
        self.timeout_s = timeout_s
        self.max_message_bytes = max_message_bytes
        self._attempts = attempts
        security = security or from_environment()
        self._metadata = security.metadata(target)
        self._channel = security.aio_channel(target, channel_options(max_message_bytes, attempts, options))
        self._stub = stubs.GRPCInferenceServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection; calls in flight are cancelled."""
        await self._channel.close()

    async def is_live(self) -> bool:
        """Whether the server answers; False also when nobody does within the timeout."""
        return await self._probe(self._stub.ServerLive, pb.ServerLiveRequest(), "live")

    async def is_ready(self) -> bool:
        """Whether the server is ready for inference; False also when nobody answers."""
        return await self._probe(self._stub.ServerReady, pb.ServerReadyRequest(), "ready")

    async def model_ready(self, name: str, version: int | None = None) -> bool:
        """Whether a model can predict; False also for a model the server does not know."""
        request = pb.ModelReadyRequest(name=name, version=tensors.version_text(version))
        try:
            return await self._probe(self._stub.ModelReady, request, "ready")
        except NotFoundError:
            return False

    async def model_metadata(self, name: str, version: int | None = None) -> ModelMetadata:
        """Versions, inputs and outputs of a model."""
        request = pb.ModelMetadataRequest(name=name, version=tensors.version_text(version))
        return tensors.model_metadata(await self._call(self._stub.ModelMetadata, request))

    async def preprocess_spec(self, name: str, version: int | None = None) -> ImageContract:
        """How image files become the model's input, and its class names. NotFoundError where it is not told."""
        request = pb.ModelConfigRequest(name=name, version=tensors.version_text(version))
        return tensors.image_contract(await self._call(self._stub.ModelConfig, request))

    async def predict(self, model: str, images: NDArray[np.uint8], version: int | None = None) -> Prediction:
        """Probabilities for a batch.

        Args:
            images: uint8 [n, height, width, channels], raw pixels 0 to 255.
            version: None lets the server choose.

        Returns:
            float32 [n, classes] with the server's timings, where it reports them.
        """
        request = tensors.infer_request(model, images, version, self.max_message_bytes)
        return tensors.prediction(await self.infer(request), len(images))

    def predict_stream(
        self,
        model: str,
        batches: Iterable[NDArray[np.uint8]],
        version: int | None = None,
        in_flight: int = 16,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[Answer, None]:
        """Predictions for many batches over one stream, several on their way at a time.

        Args:
            batches: arrays as `predict` takes them, each taken when there is room for it; it must not block.
            in_flight: most batches taken and not yet given back as answers.
            timeout_s: seconds for the whole stream; None: no limit, since a stream may be long.

        Yields, in the order of the batches, a Prediction, or the BakeoffError of a batch that failed alone.
        Closing the generator cancels what is on its way. A batch that is refused for now, with a retry hint, is sent
        again when the server wants it, up to `attempts` times in all; those behind it wait. After an error of the
        stream itself, which is raised, nothing is: go on from the last answer. A batch that cannot be sent, or an error
        of `batches`, is raised after the answers to those before it.
        """
        check_in_flight(in_flight)
        conversation = Conversation(model, version, self.max_message_bytes, self._attempts, batches)
        return self._stream(conversation, in_flight, timeout_s)

    async def _stream(
        self, conversation: Conversation, in_flight: int, timeout_s: float | None
    ) -> AsyncGenerator[Answer, None]:
        turns = asyncio.Queue[Turn | None]()
        for _ in range(in_flight):
            turns.put_nowait(Turn())

        async def requests() -> AsyncIterator[pb.ModelInferRequest]:
            while (turn := await turns.get()) is not None:
                if turn.again is not None:
                    await asyncio.sleep(turn.due - time.monotonic())
                    yield turn.again
                elif (request := conversation.take()) is not None:
                    yield request
                elif conversation.finished:
                    return

        started = time.monotonic()
        call = self._stub.ModelStreamInfer(requests(), timeout=timeout_s, metadata=self._metadata)
        try:
            async for response in call:
                if (turn := conversation.again(response)) is not None:
                    turns.put_nowait(turn)
                    continue
                for answer in conversation.answers(response):
                    yield answer
                    turns.put_nowait(Turn())
                if conversation.finished:
                    turns.put_nowait(None)
        except grpc.RpcError as error:
            if error.details() == WRITE_FAILED:
                if timeout_s is not None and time.monotonic() - started >= timeout_s:
                    raise DeadlineError(f"{self.target} did not answer within {timeout_s:g} s") from error
                raise NotReadyError(f"{self.target} is not available: the stream broke off") from error
            raise domain_error(error, self.target, timeout_s or 0.0) from error
        finally:
            call.cancel()
        conversation.check_complete()

    async def infer(self, request: pb.ModelInferRequest) -> pb.ModelInferResponse:
        """Sends a ready-made ModelInfer request: for callers that time the call alone."""
        return await self._call(self._stub.ModelInfer, request)

    async def predict_files(
        self, model: str, paths: Sequence[Path], version: int | None = None, batch_size: int = 32
    ) -> Prediction:
        """Probabilities for image files, decoded and resized as the model's training data was.

        Rows follow `paths`; `server_ns` sums over the calls of `batch_size` files each. InvalidInputError names a file
        that is no image.
        """
        pieces = list(batches(paths, batch_size))
        spec = (await self.preprocess_spec(model, version)).spec
        predictions = []
        for piece in pieces:
            images = await asyncio.to_thread(decode_files, piece, spec)
            predictions.append(await self.predict(model, images, version))
        return tensors.join(predictions)

    async def model_statistics(self, name: str, version: int | None = None) -> ModelStatistics:
        """What the server has counted for a model; without a version, for all of them."""
        request = pb.ModelStatisticsRequest(name=name, version=tensors.version_text(version))
        return tensors.model_statistics(await self._call(self._stub.ModelStatistics, request))

    async def load_model(self, name: str) -> None:
        """Asks the server to load, or load again, a model of its repository."""
        await self._call(self._stub.RepositoryModelLoad, pb.RepositoryModelLoadRequest(model_name=name))

    async def unload_model(self, name: str) -> None:
        """Asks the server to unload a model."""
        await self._call(self._stub.RepositoryModelUnload, pb.RepositoryModelUnloadRequest(model_name=name))

    async def repository_index(self, ready: bool = False) -> list[IndexEntry]:
        """Models in the server's repository; with `ready`, only those that can predict."""
        return tensors.index_entries(
            await self._call(self._stub.RepositoryIndex, pb.RepositoryIndexRequest(ready=ready))
        )

    async def _call(self, method: Any, request: Any) -> Any:
        try:
            return await method(request, timeout=self.timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            raise domain_error(error, self.target, self.timeout_s) from error

    async def _probe(self, method: Any, request: Any, answer: str) -> bool:
        try:
            return bool(getattr(await method(request, timeout=self.timeout_s, metadata=self._metadata), answer))
        except grpc.RpcError as error:
            if error.code() in SILENT:
                return False
            raise domain_error(error, self.target, self.timeout_s) from error
