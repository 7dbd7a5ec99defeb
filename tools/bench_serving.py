"""What one inference costs the server: CPU time, throughput and latency under perf_analyzer, in interleaved runs.

    python tools/bench_serving.py --repository .bakeoff/models MODEL… [--against OTHER_TREE]

CPU time is the server process's own, from /proc, over the inferences that the server counted in the same span, so
warm-up and the load generator do not enter it. The generator runs on the same cores: throughput is that of both. With
--against the servers of two source trees take turns, run by run, on the same models.
"""

import argparse
import contextlib
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
from inference import grpc_service_pb2 as pb
from inference import grpc_service_pb2_grpc as stubs

ROOT = Path(__file__).resolve().parents[1]
START_TIMEOUT_S = 60
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Measured:
    """One run."""

    cpu_ms: float
    """Server CPU per inference."""
    throughput: float
    p50_ms: float
    p99_ms: float
    batch: float
    """Mean images per executed batch."""


class Server:
    """A running server and what it has spent so far."""

    def __init__(self, process: "subprocess.Popen[bytes]", target: str) -> None:
        self.pid, self.target = process.pid, target
        self._stub = stubs.GRPCInferenceServiceStub(grpc.insecure_channel(target))

    def cpu_s(self) -> float:
        """User and system time of the process."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def counts(self, model: str) -> tuple[int, int]:
        """Inferences and batches of a model."""
        (found,) = self._stub.ModelStatistics(pb.ModelStatisticsRequest(name=model)).model_stats
        return found.inference_count, found.execution_count

    def load(self, model: str) -> None:
        """Has the server load a model."""
        self._stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name=model))


@contextlib.contextmanager
def serving(tree: Path, repository: Path, models: list[str], flags: list[str]) -> Iterator[Server]:
    """A server of the source tree `tree` that has `models` loaded."""
    with tempfile.TemporaryDirectory() as folder:
        address, log = Path(folder) / "address", Path(folder) / "log"
        command = [sys.executable, "-m", "services.serving", "--runtime", "onnxruntime", "--model-control", "explicit"]
        command += ["--repository", str(repository), "--address-file", str(address), *flags]
        environment = {**os.environ, "PYTHONPATH": f"{tree}:{tree / 'proto/gen'}"}
        with log.open("wb") as output:
            process = subprocess.Popen(command, cwd=tree, env=environment, stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while not address.is_file():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"the server of {tree} did not start:\n{log.read_text()}")
                time.sleep(0.05)
            server = Server(process, address.read_text().strip())
            for model in models:
                server.load(model)
            yield server
        finally:
            process.terminate()
            process.wait()


def measure(tool: Path, server: Server, model: str, concurrency: int, seconds: float) -> Measured:
    """One run of perf_analyzer: three windows of a third of `seconds`."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.csv"
        command = [str(tool), "-m", model, "-u", server.target, "-i", "grpc", "--async", "-f", str(report)]
        command += ["--concurrency-range", str(concurrency), "-p", str(int(seconds * 1000 / 3)), "-s", "900", "-r", "3"]
        (inferences, batches), cpu = server.counts(model), server.cpu_s()
        done = subprocess.run(command, env=tool_environment(tool), capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"perf_analyzer failed:\n{done.stdout}{done.stderr}")
        cpu, (inferred, executed) = server.cpu_s() - cpu, server.counts(model)
        with report.open() as file:
            (row,) = csv.DictReader(file)
    count = inferred - inferences
    return Measured(
        cpu_ms=1000 * cpu / count,
        throughput=float(row["Inferences/Second"]),
        p50_ms=float(row["p50 latency"]) / 1000,
        p99_ms=float(row["p99 latency"]) / 1000,
        batch=count / (executed - batches),
    )


def tool_environment(tool: Path) -> dict[str, str]:
    """perf_analyzer finds the CUDA runtime of its own environment, which it needs even without a GPU."""
    found = [str(path) for path in tool.parents[1].glob("lib/python*/site-packages/nvidia/cuda_runtime/lib")]
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(found)}


def show(label: str, runs: list[Measured]) -> None:
    """One line: median, and smallest to largest over the runs."""
    columns = [
        f"{statistics.median(values):9.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"
        for digits, values in (
            (3, [run.cpu_ms for run in runs]),
            (0, [run.throughput for run in runs]),
            (2, [run.p50_ms for run in runs]),
            (2, [run.p99_ms for run in runs]),
            (1, [run.batch for run in runs]),
        )
    ]
    print(f"{label:44}" + "".join(f"{column:>26}" for column in columns), flush=True)


def main() -> None:
    """Reads the options, measures, prints."""
    parser = argparse.ArgumentParser(description="CPU per inference of the inference server.")
    parser.add_argument("models", nargs="+", help="ONNX models of the repository")
    parser.add_argument("--repository", type=Path, required=True)
    parser.add_argument("--perf-analyzer", type=Path, default=None, help="default: the one the system tests installed")
    parser.add_argument("--against", type=Path, help="another source tree, measured in turn with this one")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--flags", default="", help="further flags of the server, in one argument")
    given = parser.parse_args()
    installed = sorted((ROOT / ".bakeoff/venvs").glob("*/bin/perf_analyzer"))
    tool = given.perf_analyzer or next(iter(installed), None)
    if tool is None:
        parser.error("no perf_analyzer; install tritonclient[grpc]==2.47.* into an environment and name it")
    trees = {"this tree": ROOT} | ({str(given.against): given.against.resolve()} if given.against else {})
    results: defaultdict[tuple[str, int, str], list[Measured]] = defaultdict(list)
    with contextlib.ExitStack() as stack:
        servers = {
            label: stack.enter_context(serving(tree, given.repository.resolve(), given.models, given.flags.split()))
            for label, tree in trees.items()
        }
        for _ in range(given.runs):
            for model in given.models:
                for concurrency in given.concurrency:
                    for label, server in servers.items():
                        measured = measure(tool, server, model, concurrency, given.seconds)
                        results[model, concurrency, label].append(measured)
    titles = ("CPU ms/inference", "inferences/s", "p50 ms", "p99 ms", "mean batch")
    print(f"{'median (smallest–largest)':44}" + "".join(f"{title:>26}" for title in titles))
    for (model, concurrency, label), runs in results.items():
        show(f"{model} c={concurrency} {label}"[-44:], runs)


if __name__ == "__main__":
    main()
