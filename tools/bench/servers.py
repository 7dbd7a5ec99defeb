"""Starts the servers that are compared, and reads what they spend."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import psutil
from google.protobuf import text_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from inference import grpc_service_pb2 as pb
from inference import grpc_service_pb2_grpc as stubs
from inference import model_config_pb2

from core.repository import ModelRepository
from tools.bench.ports import free_port
from tools.venvs import ROOT, python_with

PEERS = {"kserve": ("kserve==0.21.*", "onnxruntime==1.31.1"), "mlserver": ("mlserver==1.7.1", "onnxruntime==1.31.1")}
INSTALL_S = 900.0
Cores = tuple[int, ...]
START_S = 90.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Spent:
    """Since the start."""

    cpu_s: float
    images: int
    batches: int
    inside_s: float
    """By the server's own clock, from a request's arrival to its answer; of all requests together."""
    requests: int


class Server:
    """A running server."""

    def __init__(self, process: "subprocess.Popen[bytes]", target: str) -> None:
        self.pid, self.target = process.pid, target
        self.channel = grpc.insecure_channel(target)
        self._stub = stubs.GRPCInferenceServiceStub(self.channel)

    def is_live(self) -> bool:
        """Whether it answers."""
        try:
            return bool(self._stub.ServerLive(pb.ServerLiveRequest(), timeout=5).live)
        except grpc.RpcError:
            return False

    def spent(self, model: str) -> Spent:
        """CPU of the process and its children, inferences and batches of a model."""
        (found,) = self._stub.ModelStatistics(pb.ModelStatisticsRequest(name=model)).model_stats
        answered = found.inference_stats.success
        cpu_s = sum(map(_cpu_s, _family(self.pid)))
        return Spent(cpu_s, found.inference_count, found.execution_count, answered.ns * 1e-9, answered.count)

    def memory_mb(self) -> dict[str, float]:
        """Proportional set size by program name, in MB of 2^20 bytes: shared pages are divided, not counted twice."""
        sizes: dict[str, float] = {}
        for pid in _family(self.pid):
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            sizes[name] = sizes.get(name, 0) + next(int(x.split()[1]) for x in lines if x.startswith("Pss:")) / 1024
        return sizes

    def difference(self, repository: ModelRepository, model: str, original: str) -> float:
        """The largest difference of its answers from `original`'s golden cases, each case asked for by itself."""
        folder = repository.path(original, 1) / "golden"
        images, expected = np.load(folder / "images.npy"), np.load(folder / "probabilities.npy")
        worst = 0.0
        for image, wanted in zip(images, expected, strict=True):
            request = pb.ModelInferRequest(model_name=model, raw_input_contents=[image.tobytes()])
            request.inputs.add(name="image", datatype="UINT8", shape=(1, *image.shape))
            response = self._stub.ModelInfer(request, timeout=10)
            if response.raw_output_contents:
                got = np.frombuffer(response.raw_output_contents[0], "<f4")
            else:
                got = np.array(response.outputs[0].contents.fp32_contents, np.float32)
            worst = max(worst, float(np.abs(got - wanted).max()))
        return worst


def halves() -> tuple[Cores, Cores]:
    """This process's cores, for a server and for who sends to it. Of one core there are no halves: both are empty."""
    cores = sorted(os.sched_getaffinity(0))
    middle = len(cores) // 2
    return (tuple(cores[:middle]), tuple(cores[middle:])) if middle else ((), ())


def on(cores: Cores) -> list[str]:
    """What to put before a command so that it, and whatever it starts, runs on these cores only; empty: on any."""
    return ["taskset", "--cpu-list", ",".join(map(str, cores))] if cores else []


@contextlib.contextmanager
def bakeoff(
    root: Path, models: Path, *flags: str, tree: Path = ROOT, runtime: str = "onnxruntime", cores: Cores = ()
) -> Iterator[Server]:
    """A server of ours that is ready; `tree` is a source tree, `cores` those it may use, or all."""
    # A folder of its own: a file that an earlier server left would send callers to that one's port.
    address = Path(tempfile.mkdtemp(dir=root)) / "address"
    command = [*on(cores), sys.executable, "-m", "services.serving", "--runtime", runtime]
    command += [] if "--model-control" in flags else ["--model-control", "none"]
    command += ["--repository", str(models), "--address-file", str(address), *flags]
    environment = {**os.environ, "PYTHONPATH": f"{tree}:{tree / 'proto/gen'}"}
    with _process(command, tree, environment, root) as (process, check):
        check(address.is_file)
        server = Server(process, address.read_text().strip())
        with contextlib.closing(server.channel):
            check(lambda: _is_healthy(server.channel))
            yield server


@contextlib.contextmanager
def null_server(root: Path, *options: str) -> Iterator[Server]:
    """A server that computes nothing."""
    port = free_port()
    command = [sys.executable, "-m", "loadtests.null_server", "--port", str(port), *options]
    with _process(command, ROOT, dict(os.environ), root) as (process, check):
        server = Server(process, f"127.0.0.1:{port}")
        with contextlib.closing(server.channel):
            check(server.is_live)
            yield server


@contextlib.contextmanager
def peer(kind: str, root: Path, models: Path, model: str, workers: int) -> Iterator[Server]:
    """KServe's or MLServer's Python server with one model; `workers` threads compute, 0: its event loop does."""
    repository = ModelRepository(models)
    artifact, port = repository.artifact(model, 1), free_port()
    config = root / f"{model}.config"
    message = text_format.Parse((models / model / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    config.write_bytes(pb.ModelConfigResponse(config=message).SerializeToString())
    program = ROOT / f"tools/bench/peers/{kind}_server.py"
    shape, classes = "x".join(map(str, artifact.preprocess.shape)), str(len(artifact.classes))
    command = [str(python_with(*PEERS[kind], timeout_s=INSTALL_S)), str(program), model]
    command += [str(repository.model_path(model, 1)), str(config), str(port), str(workers), shape, classes]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with _process(command, root, environment, root) as (process, check):
        server = Server(process, f"127.0.0.1:{port}")
        with contextlib.closing(server.channel):
            check(lambda: _answers(server, repository, model))
            yield server


@contextlib.contextmanager
def _process(
    command: list[str], folder: Path, environment: dict[str, str], root: Path
) -> Iterator[tuple["subprocess.Popen[bytes]", Callable[[Callable[[], bool]], None]]]:
    """A process that ends with the block, and a function that waits for it to become something."""
    log = root / f"log-{free_port()}"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)

    def check(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_S
        while not condition():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{' '.join(command)} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.02)

    try:
        yield process, check
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_healthy(channel: grpc.Channel) -> bool:
    try:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    except grpc.RpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _answers(server: Server, repository: ModelRepository, model: str) -> bool:
    try:
        return server.difference(repository, model, model) < 1
    except grpc.RpcError:
        return False


def _family(pid: int) -> list[int]:
    """A process and its descendants."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
