"""A server that answers at once with constant probabilities: what a load test measures against it is its own cost.

    python -m loadtests.null_server --port 0

prints `host:port` once it answers. `--stall-s 1 --stall-after 200` freezes it once, for one second, at the 200th
inference: a load test that does not show this in its highest percentiles is not to be trusted.
"""

import argparse
import asyncio
import signal
import time
from typing import Any

import grpc
import numpy as np
from inference import grpc_service_pb2 as pb
from inference import model_config_pb2

from services.client.channels import MAX_MESSAGE_BYTES, SERVICE
from services.client.tensors import INPUT, OUTPUT

QUEUE_NS, INFER_NS = 1_000, 2_000
"""What it claims to have spent: constants a reader recognises."""


class NullService:
    """Claims to serve every model, as version 1, with the given input shape (height, width, channels) and classes."""

    def __init__(self, shape: tuple[int, int, int], classes: int, stall_s: float = 0.0, stall_after: int = 0) -> None:
        self._shape, self._classes = shape, classes
        self._stall_s, self._stall_after = stall_s, stall_after
        self._answers: dict[int, pb.ModelInferResponse] = {}
        self.inferences = 0

    def handlers(self) -> grpc.GenericRpcHandler:
        """The methods that load generators call; every other one is UNIMPLEMENTED."""
        methods: dict[str, tuple[Any, Any]] = {
            "ServerLive": (self.live, pb.ServerLiveRequest),
            "ServerReady": (self.ready, pb.ServerReadyRequest),
            "ServerMetadata": (self.server_metadata, pb.ServerMetadataRequest),
            "ModelReady": (self.model_ready, pb.ModelReadyRequest),
            "ModelMetadata": (self.metadata, pb.ModelMetadataRequest),
            "ModelConfig": (self.config, pb.ModelConfigRequest),
            "ModelStatistics": (self.statistics, pb.ModelStatisticsRequest),
            "ModelInfer": (self.infer, pb.ModelInferRequest),
        }
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                name: grpc.unary_unary_rpc_method_handler(
                    method, request.FromString, lambda reply: reply.SerializeToString()
                )
                for name, (method, request) in methods.items()
            },
        )

    async def live(self, _request: pb.ServerLiveRequest, _context: object) -> pb.ServerLiveResponse:
        """Always."""
        return pb.ServerLiveResponse(live=True)

    async def ready(self, _request: pb.ServerReadyRequest, _context: object) -> pb.ServerReadyResponse:
        """Always."""
        return pb.ServerReadyResponse(ready=True)

    async def server_metadata(self, _request: pb.ServerMetadataRequest, _context: object) -> pb.ServerMetadataResponse:
        """With the extension that perf_analyzer needs."""
        return pb.ServerMetadataResponse(name="null", version="1", extensions=["model_configuration"])

    async def model_ready(self, _request: pb.ModelReadyRequest, _context: object) -> pb.ModelReadyResponse:
        """Always, whatever the name."""
        return pb.ModelReadyResponse(ready=True)

    async def metadata(self, request: pb.ModelMetadataRequest, _context: object) -> pb.ModelMetadataResponse:
        """The contract of every exported artefact, with the shape and classes given at the start."""
        response = pb.ModelMetadataResponse(name=request.name, versions=["1"], platform="null")
        response.inputs.add(name=INPUT, datatype="UINT8", shape=(-1, *self._shape))
        response.outputs.add(name=OUTPUT, datatype="FP32", shape=(-1, self._classes))
        return response

    async def config(self, request: pb.ModelConfigRequest, _context: object) -> pb.ModelConfigResponse:
        """The metadata in Triton's words; any batch size is fine."""
        response = pb.ModelConfigResponse()
        response.config.name, response.config.max_batch_size = request.name, 1024
        response.config.input.add(name=INPUT, data_type=model_config_pb2.TYPE_UINT8, dims=self._shape)
        response.config.output.add(name=OUTPUT, data_type=model_config_pb2.TYPE_FP32, dims=[self._classes])
        return response

    async def statistics(self, request: pb.ModelStatisticsRequest, _context: object) -> pb.ModelStatisticsResponse:
        """Inferences so far, each a batch of its own."""
        response = pb.ModelStatisticsResponse()
        response.model_stats.add(
            name=request.name, version="1", inference_count=self.inferences, execution_count=self.inferences
        )
        return response

    async def infer(self, request: pb.ModelInferRequest, _context: object) -> pb.ModelInferResponse:
        """Equal probabilities for every image, without looking at one."""
        self.inferences += 1
        if self.inferences == self._stall_after:
            time.sleep(self._stall_s)  # Blocks the loop on purpose: nobody is answered meanwhile.
        images = request.inputs[0].shape[0]
        if images not in self._answers:
            self._answers[images] = self._answer(images)
        response = pb.ModelInferResponse(id=request.id)  # perf_analyzer knows its requests by it.
        response.MergeFrom(self._answers[images])
        return response

    def _answer(self, images: int) -> pb.ModelInferResponse:
        response = pb.ModelInferResponse(model_name="null", model_version="1")
        response.outputs.add(name=OUTPUT, datatype="FP32", shape=(images, self._classes))
        probabilities = np.full((images, self._classes), 1 / self._classes, dtype="<f4")
        response.raw_output_contents.append(probabilities.tobytes())
        for key, value in (("queue_ns", QUEUE_NS), ("infer_ns", INFER_NS), ("batch_size", images)):
            response.parameters[key].int64_param = value
        return response


async def serve(service: NullService, port: int) -> None:
    """Serves on loopback until SIGTERM or SIGINT; prints the address first."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", MAX_MESSAGE_BYTES), ("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((service.handlers(),))
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    print(f"127.0.0.1:{bound}", flush=True)
    await stopping.wait()
    await server.stop(0)


def shape(text: str) -> tuple[int, int, int]:
    """`28,28,1` to (28, 28, 1)."""
    height, width, channels = (int(part) for part in text.split(","))
    return height, width, channels


def main() -> None:
    """Reads the options and serves."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.null_server", description="A server that computes nothing."
    )
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes any free one")
    parser.add_argument("--shape", type=shape, default=(28, 28, 1), help="height,width,channels of the input")
    parser.add_argument("--classes", type=int, default=10, help="number of probabilities per image")
    parser.add_argument("--stall-s", type=float, default=0.0, help="freeze once for this long")
    parser.add_argument("--stall-after", type=int, default=0, help="at the inference of this number, counted from 1")
    options = parser.parse_args()
    service = NullService(options.shape, options.classes, options.stall_s, options.stall_after)
    asyncio.run(serve(service, options.port))


if __name__ == "__main__":
    main()
