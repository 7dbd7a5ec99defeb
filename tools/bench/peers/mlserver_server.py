"""One ONNX model in MLServer: `python mlserver_server.py MODEL FILE CONFIG PORT WORKERS SHAPE CLASSES`."""

import asyncio
import socket
import sys
from pathlib import Path

import mlserver_runtime
from answers import Answers
from mlserver import MLServer, ModelSettings, Settings
from mlserver.settings import ModelParameters
from mlserver.types import MetadataTensor


def free_port() -> int:
    """A port nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def main() -> None:
    name, path, config, port, workers, shape, classes = sys.argv[1:]
    answers = Answers(name, Path(config))
    answers.install()
    mlserver_runtime.ANSWERS.append(answers)
    # In this process: its worker processes would copy every tensor between processes.
    settings = Settings(
        host="127.0.0.1", http_port=free_port(), grpc_port=int(port), metrics_port=free_port(), parallel_workers=0,
    )  # fmt: skip
    sizes = [int(size) for size in shape.split("x")]
    model = ModelSettings(
        name=name,
        implementation=mlserver_runtime.OnnxModel,
        inputs=[MetadataTensor(name="image", datatype="UINT8", shape=[-1, *sizes])],
        outputs=[MetadataTensor(name="probabilities", datatype="FP32", shape=[-1, int(classes)])],
        parameters=ModelParameters(uri=path, extra={"workers": int(workers)}),
    )
    await MLServer(settings).start([model])


if __name__ == "__main__":
    asyncio.run(main())
