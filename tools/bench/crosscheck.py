"""The same server measured by our generator, NVIDIA's perf_analyzer and MLPerf's LoadGen, in turns.

    python -m tools.bench.crosscheck --repository DIR MODEL

Two tests: one caller (single_stream; perf_analyzer with a concurrency of one), and Poisson arrivals at a fixed rate
(server). Each generator takes its turn in every round, so a slow minute hits all of them.

A generator in Python needs longer for a call than one in C++, whatever the server. So each also measures a server that
computes nothing (`loadtests.null_server`), right before the other: the difference of its two medians is what the server
adds. Server and generators have cores of their own, as if on two machines, where there is more than one.

A core with nothing to do sleeps, and in a virtual machine waking it can take as long as a light model computes: the
longer it slept, the longer. How long it sleeps is the generators' doing, so an endless loop of the lowest priority, one
on each core, keeps all awake; it runs only where nobody else wants to (`--let-sleep` does without).

That difference still depends a little on who measures: where queries come more slowly, as from a slower generator, the
server itself takes longer for each, by its own clock (`inside`, the mean from ModelStatistics). `rest` is what the
server adds without that: what a generator sees and neither the server nor the generator's own cost explains.

Prints Markdown tables: the median over rounds with the smallest and largest, and how far what the server adds differs
between generators within a round, with Student's 95% interval and p values corrected by Holm for all these pairs.
"""

import argparse
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

from core.repository import ModelRepository
from core.schemas.specs import LoadTestSpec
from evaluator.statistics import corrected, seed_test
from loadtests import driver, headless
from loadtests.checks import input_shape
from loadtests.images import random_images
from services.client.inference import InferenceClient
from tools.bench import load
from tools.bench.servers import Server, bakeoff, null_server, on
from tools.venvs import ROOT

Figures = dict[str, float]
"""Milliseconds, and queries per second."""
COLUMNS = ("p50", "null p50", "p50 - null", "inside", "rest", "p99", "queries/s")


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
    return {"p50": latency.p50, "p99": latency.p99, "queries/s": result.throughput}


def perf_analyzer(server: Server, model: str, rate: float | None, seconds: float, _repeat: int) -> Figures:
    """Asynchronous calls, as it is usually run."""
    found = load.poisson(server, model, rate, seconds) if rate else load.closed(server, model, 1, seconds)
    return {"p50": found.p50_ms, "p99": found.p99_ms, "queries/s": found.throughput}


def loadgen(server: Server, model: str, rate: float | None, seconds: float, _repeat: int) -> Figures:
    """In a process of its own, which LoadGen's threads have to themselves."""
    command = [sys.executable, str(ROOT / "tools/loadgen.py"), server.target, model, "--seconds", str(seconds)]
    command += ["--scenario", "server", "--rate", str(rate)] if rate else ["--scenario", "single_stream"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    latency = found["latency_ms"]
    return {name: latency[name] for name in ("p50", "p99")} | {"queries/s": found["queries"] / seconds}


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


def show_differences(found: dict[str, dict[str, list[Figures]]]) -> None:
    """What the server adds, for every pair of generators, as one Markdown table."""
    pairs = [(title, *pair) for title, runs in found.items() for pair in combinations(runs, 2)]
    tests = []
    for title, *names in pairs:
        first, second = ([figures["p50 - null"] for figures in found[title][name]] for name in names)
        tests.append(seed_test([one - other for one, other in zip(first, second, strict=True)]))
    print("\n| p50 - null | | | difference, ms | 95% | p |\n|---|---|---|---:|---:|---:|")
    for (title, one, other), test in zip(pairs, corrected(tests), strict=True):
        low, high = test.interval or (math.nan, math.nan)
        p_value = "–" if test.p_adjusted is None else f"{test.p_adjusted:.2f}"
        print(f"| {title} | {one} | {other} | {test.mean:+.2f} | {low:+.2f} to {high:+.2f} | {p_value} |")


def main() -> None:
    """Reads the options, measures in turns, prints."""
    parser = argparse.ArgumentParser(description="Three load generators against one server.")
    parser.add_argument("model", help="ONNX model of the repository, version 1")
    parser.add_argument("--repository", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--let-sleep", action="store_true", help="do not keep the cores awake")
    given = parser.parse_args()
    repository = given.repository.resolve()
    artifact = ModelRepository(repository).artifact(given.model, 1)
    shape = ",".join(map(str, artifact.preprocess.shape))
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if not given.let_sleep:
            stack.enter_context(awake())
        servers, generators = cores()
        os.sched_setaffinity(0, servers)
        server = stack.enter_context(bakeoff(root, repository))
        null = stack.enter_context(null_server(root, "--shape", shape, "--classes", str(len(artifact.classes))))
        os.sched_setaffinity(0, generators)
        found = {}
        for title, rate in (("one caller", None), (f"Poisson arrivals at {given.rate:g}/s", given.rate)):
            found[title] = rounds(server, null, given, rate)
            show(title, found[title])
    show_differences(found)


@contextlib.contextmanager
def awake() -> Iterator[None]:
    """Keeps every core awake while the block runs, at the expense of nobody: the loops run where a core is idle."""
    loop = "import os; os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile True: pass"
    mine = sorted(os.sched_getaffinity(0))
    spinners = [subprocess.Popen([*on((core,)), sys.executable, "-c", loop]) for core in mine]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


def cores() -> tuple[set[int], set[int]]:
    """Of the servers, and of the generators: the last one, or all where there is only one."""
    mine = sorted(os.sched_getaffinity(0))
    return set(mine[:-1] or mine), set(mine[-1:])


def rounds(server: Server, null: Server, given: argparse.Namespace, rate: float | None) -> dict[str, list[Figures]]:
    """Every generator's turns, each at the null server and then at the server."""
    results: defaultdict[str, list[Figures]] = defaultdict(list)
    generators = {"Bakeoff": ours, "perf_analyzer": perf_analyzer, "LoadGen": loadgen}
    for number in range(given.runs):
        for name, measure in generators.items():
            own = measure(null, given.model, rate, given.seconds, number)
            before = server.spent(given.model)
            found = measure(server, given.model, rate, given.seconds, number)
            after = server.spent(given.model)
            inside = 1000 * (after.inside_s - before.inside_s) / (after.requests - before.requests)
            added = found["p50"] - own["p50"]
            more = {"null p50": own["p50"], "p50 - null": added, "inside": inside, "rest": added - inside}
            results[name].append(found | more)
            print(f"{name}: {results[name][-1]}", file=sys.stderr)
    return results


if __name__ == "__main__":
    main()
