"""Load from NVIDIA's perf_analyzer: closed loop, or Poisson arrivals at a rate."""

import csv
import os
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from tools.bench.servers import Cores, Server, on
from tools.venvs import PERF_ANALYZER, python_with


class UnstableError(Exception):
    """perf_analyzer saw too few requests in one of its windows to say anything."""


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

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


def closed(
    server: Server, model: str, concurrency: int, seconds: float, streaming: bool = False, cores: Cores = ()
) -> Measured:
    """So many requests in flight, each followed by the next. perf_analyzer runs on `cores`, or on all."""
    options = ["--concurrency-range", str(concurrency), *(["--streaming"] if streaming else [])]
    return _run(server, model, options, seconds, cores)


def poisson(server: Server, model: str, rate: float, seconds: float) -> Measured:
    """Requests at random times, whether earlier ones are answered or not. Raises UnstableError."""
    given = ["--request-rate-range", f"{rate:.0f}", "--request-distribution", "poisson", "--max-threads", "16"]
    return _run(server, model, given, seconds)


def _run(server: Server, model: str, options: list[str], seconds: float, cores: Cores = ()) -> Measured:
    """Three windows of a third of `seconds`. CPU and inferences are the server's own over the whole span."""
    python = python_with(*PERF_ANALYZER)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.csv"
        command = [
            *on(cores),
            str(python.with_name("perf_analyzer")),
            "-m",
            model,
            "-u",
            server.target,
            "-i",
            "grpc",
            "--async",
        ]
        command += ["-f", str(report), *options, "-p", str(int(seconds * 1000 / 3)), "-s", "900", "-r", "3"]
        before = server.spent(model)
        done = subprocess.run(command, env=environment(python), capture_output=True, text=True)
        after = server.spent(model)
        if done.returncode and "Failed to obtain stable measurement" in done.stdout + done.stderr:
            raise UnstableError(f"{model}: perf_analyzer obtained no stable measurement with {' '.join(options)}")
        if done.returncode:
            raise SystemExit(f"perf_analyzer failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        with report.open() as file:
            (row,) = csv.DictReader(file)
    images = after.images - before.images
    return Measured(
        cpu_ms=1000 * (after.cpu_s - before.cpu_s) / images,
        throughput=float(row["Inferences/Second"]),
        p50_ms=float(row["p50 latency"]) / 1000,
        p99_ms=float(row["p99 latency"]) / 1000,
        batch=images / (after.batches - before.batches),
    )


def environment(python: Path) -> dict[str, str]:
    """perf_analyzer finds the CUDA runtime of its own environment, which it needs even without a GPU."""
    found = [str(path) for path in python.parents[1].glob("lib/python*/site-packages/nvidia/cuda_runtime/lib")]
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(found)}
