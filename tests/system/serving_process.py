"""A serving process of its own, as people start it."""

import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc
from inference import grpc_service_pb2 as pb
from inference import grpc_service_pb2_grpc as pb_grpc
from numpy.typing import NDArray

from core.repository import ModelRepository
from tests.system.onnx_models import linear_model
from tests.unit.serving import published

SERVICE = "inference.GRPCInferenceService"
START_TIMEOUT_S = 60


def publish(root: Path | ModelRepository, name: str, seed: int = 0, **changes: Any) -> None:
    """Publishes a real ONNX model: `published.linear` with the weights of `seed`."""
    kernel = published.weights(seed)
    published.publish(root, name, published.linear(kernel), linear_model(kernel, published.SHAPE), **changes)


def infer_request(model: str, images: NDArray[np.uint8], **fields: str) -> pb.ModelInferRequest:
    """A request with raw contents."""
    message = pb.ModelInferRequest(model_name=model, raw_input_contents=[images.tobytes()], **fields)
    message.inputs.add(name="image", datatype="UINT8", shape=images.shape)
    return message


def probabilities(response: pb.ModelInferResponse) -> NDArray[np.float32]:
    """The first output of a raw answer."""
    return np.frombuffer(response.raw_output_contents[0], "<f4").reshape(list(response.outputs[0].shape))


class ServingProcess:
    """A running server and a stub for it."""

    def __init__(self, process: subprocess.Popen[bytes], address: Path, log: Path) -> None:
        self.process, self.log, self._address = process, log, address

    def __enter__(self) -> Self:
        self._wait(self._address.is_file)
        self.target = self._address.read_text().strip()
        self.channel = grpc.insecure_channel(self.target)
        self.stub = pb_grpc.GRPCInferenceServiceStub(self.channel)
        self._wait(self._is_serving)
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def health(self, service: str) -> int:
        """Status of a service as grpc.health.v1 has it."""
        stub = health_pb2_grpc.HealthStub(self.channel)
        return int(stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5).status)

    def _is_serving(self) -> bool:
        try:
            return self.health(SERVICE) == health_pb2.HealthCheckResponse.SERVING
        except grpc.RpcError as error:
            # On busy cores the import of a framework holds Python's lock for seconds.
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return False
            raise

    def metrics(self) -> str:
        """The Prometheus page."""
        (address,) = re.findall(r"metrics on (\S+)", self.log.read_text())
        with urllib.request.urlopen(address, timeout=5) as page:
            return str(page.read().decode())

    def answering_pid(self) -> int:
        """The process that answers calls: Envoy where it is the transport, else the one that was started."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return next((int(one) for one in children if Path(f"/proc/{one}/comm").read_text() == "envoy\n"), pid)

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def _wait(self, condition: Callable[[], bool]) -> None:
        wait_for(condition, self.process, self.log)


def wait_until(condition: Callable[[], bool]) -> None:
    """Waits half a minute at most."""
    last = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < last
        time.sleep(0.02)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Returns once a condition holds; fails with the log when the process ends or takes too long."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


@contextmanager
def launched(folder: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[bytes], Path, Path]]:
    """Starts the process and ends it with the block, whatever became of it; yields it, its address file and its log."""
    address, log = folder / "address", folder / "log"
    # One that an earlier server left would send callers to that one's port.
    address.unlink(missing_ok=True)
    command = [sys.executable, "-m", "services.serving", "--address-file", str(address), "--metrics-port", "0", *flags]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process, address, log
    finally:
        process.kill()
        process.wait()


@contextmanager
def serving(
    folder: Path, repository: Path | str, *flags: str, runtime: str = "onnxruntime"
) -> Iterator[ServingProcess]:
    """A server that is ready."""
    given = ("--runtime", runtime, "--repository", str(repository), *flags)
    with launched(folder, *given) as (process, address, log), ServingProcess(process, address, log) as server:
        yield server
