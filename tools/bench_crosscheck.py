"""The same server measured by our generator, NVIDIA's perf_analyzer and MLPerf's LoadGen, in turns.

    python tools/bench_crosscheck.py --repository .bakeoff/models MODEL

Two tests: one caller (single_stream; perf_analyzer with a concurrency of one), and Poisson arrivals at a fixed rate
(server). Each generator takes its turn in every round, so a slow minute hits all of them. Prints a Markdown table: the
median over rounds with the smallest and largest.
"""

import argparse
import contextlib
import csv
import json
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from bench_serving import ROOT, Server, serving, tool_environment

from core.schemas.specs import LoadTestSpec
from loadtests import driver, headless
from loadtests.checks import input_shape
from loadtests.images import random_images
from services.client.inference import InferenceClient

Figures = dict[str, float]
"""p50, p90, p99 in milliseconds, and queries per second."""
COLUMNS = ("p50", "p90", "p99", "queries/s")


def ours(server: Server, model: str, rate: float | None, seconds: float, repeat: int) -> Figures:
    """`python -m loadtests` without its files."""
    with InferenceClient(server.target) as client:
        images = random_images(input_shape(client, model, None), 0)
    names = {"model": model, "version": 1, "artifact": "0" * 64, "runtime": "onnxruntime", "data": "0" * 64}
    traffic = {"scenario": "server", "rate": rate} if rate else {"scenario": "single_stream"}
    spec = LoadTestSpec.model_validate({**names, **traffic, "duration_s": seconds, "repeat": repeat, "warmup_s": 0.5})
    setting = headless.Setting(server.target, "crosscheck", timeout_s=10.0)
    result = driver.run(headless.run(setting, spec, images, lambda *_: None))
    for problem in result.problems:
        print(f"ours, does not count: {problem}", file=sys.stderr)
    latency = result.latency_ms
    return {"p50": latency.p50, "p90": latency.p90, "p99": latency.p99, "queries/s": result.throughput}


def perf_analyzer(tool: Path, server: Server, model: str, rate: float | None, seconds: float) -> Figures:
    """One window of `seconds`."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.csv"
        command = [str(tool), "-m", model, "-u", server.target, "-i", "grpc", "-f", str(report), "--percentile", "99"]
        command += ["-p", str(int(seconds * 1000)), "-s", "900", "-r", "1", "--async"]
        paced = ["--request-rate-range", str(rate), "--request-distribution", "poisson"]
        command += paced if rate else ["--concurrency-range", "1"]
        done = subprocess.run(command, env=tool_environment(tool), capture_output=True, text=True)
        if not report.is_file():
            raise SystemExit(f"perf_analyzer failed:\n{done.stdout}{done.stderr}")
        with report.open() as file:
            (row,) = csv.DictReader(file)
    times = {name: float(row[f"{name} latency"]) / 1000 for name in ("p50", "p90", "p99")}
    return {**times, "queries/s": float(row["Inferences/Second"])}


def loadgen(server: Server, model: str, rate: float | None, seconds: float) -> Figures:
    """In a process of its own, which LoadGen's threads have to themselves."""
    command = [sys.executable, str(ROOT / "tools/loadgen.py"), server.target, model, "--seconds", str(seconds)]
    command += ["--scenario", "server", "--rate", str(rate)] if rate else ["--scenario", "single_stream"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    latency = found["latency_ms"]
    return {name: latency[name] for name in ("p50", "p90", "p99")} | {"queries/s": found["queries"] / seconds}


def show(title: str, runs: dict[str, list[Figures]]) -> None:
    """One Markdown table."""
    print(f"\n| {title} | {' | '.join(COLUMNS)} |\n|---|{'---:|' * len(COLUMNS)}")
    for name, found in runs.items():
        cells = []
        for column in COLUMNS:
            values = [figures[column] for figures in found]
            digits = 0 if column == "queries/s" else 2
            cells.append(f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})")
        print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    """Reads the options, measures in turns, prints."""
    parser = argparse.ArgumentParser(description="Three load generators against one server.")
    parser.add_argument("model", help="ONNX model of the repository")
    parser.add_argument("--repository", type=Path, required=True)
    parser.add_argument("--perf-analyzer", type=Path, default=None, help="default: the one the system tests installed")
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    tool = given.perf_analyzer or next(iter(sorted((ROOT / ".bakeoff/venvs").glob("*/bin/perf_analyzer"))), None)
    if tool is None:
        parser.error("no perf_analyzer; install tritonclient[grpc]==2.47.* into an environment and name it")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving(ROOT, given.repository.resolve(), [given.model], []))
        for title, rate in (("one caller", None), (f"Poisson arrivals at {given.rate:g}/s", given.rate)):
            results: defaultdict[str, list[Figures]] = defaultdict(list)
            for number in range(given.runs):
                turns: dict[str, Callable[[], Figures]] = {
                    "bakeoff": lambda r=rate, n=number: ours(server, given.model, r, given.seconds, n),
                    "perf_analyzer": lambda r=rate: perf_analyzer(tool, server, given.model, r, given.seconds),
                    "LoadGen": lambda r=rate: loadgen(server, given.model, r, given.seconds),
                }
                for name, turn in turns.items():
                    results[name].append(turn())
            show(title, results)


if __name__ == "__main__":
    main()
