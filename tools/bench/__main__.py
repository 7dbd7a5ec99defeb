"""What one inference costs: ours on both transports and all runtimes for ONNX, KServe's and MLServer's Python servers.

    python -m tools.bench [--runs 3] [--write docs]

Interleaved runs of the same client (NVIDIA's perf_analyzer, one image per request, closed loop) on the same cores, with
the same ONNX files and their int8 versions. CPU time is that of the server's processes, from /proc, over the inferences
it counted in the same span. The answers of every server are compared with the files' golden cases in the same run.
"""

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from core import environment
from core.repository import ModelRepository
from tools.bench import load, report, rows
from tools.bench.overload import overload
from tools.bench.rows import PEER_THREADS, TRANSPORTS, Row
from tools.bench.servers import PEERS, Cores, bakeoff, halves, on
from tools.bench.start import start
from tools.venvs import PERF_ANALYZER, ROOT, python_with

COPIES = 10
LONG_S = 4.0
"""Of a run with Poisson arrivals, at least: its windows hold fewer requests."""
SHARE = 0.6
"""Of the highest rate, for latency under Poisson arrivals."""


def main() -> None:
    """Reads the options, measures, prints, and writes docs where asked to."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__.split("\n\n")[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one run")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--models", nargs="+", choices=PEER_THREADS, default=list(PEER_THREADS))
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--tune-seconds", type=float, default=10.0)
    parser.add_argument("--skip-open-loop", action="store_true", help="closed loops only")
    parser.add_argument("--write", type=Path, help="folder for serving-benchmark.md, .svg and .json")
    given = parser.parse_args()
    # Installed before anything is measured.
    for requirements in (PERF_ANALYZER, *(PEERS[kind] for kind in given.peers)):
        python_with(*requirements, timeout_s=900)
    with tempfile.TemporaryDirectory(prefix="bench-serving-") as folder:
        results = measure(Path(folder), given)
    print(report.text(results))
    if given.write:
        report.write(results, given.write)


def say(what: str) -> None:
    """Tells on the error stream how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def measure(root: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Everything, as one object for JSON."""
    before = os.getloadavg()[0]
    say("publishing and tuning the models")
    _prepare(root, given)
    models = ModelRepository(root / "models")
    closed, differences, memory = [], {}, {}
    open_loop: list[dict[str, Any]] = []
    goodput: list[dict[str, Any]] = []
    for model in given.models:
        say(f"{model}: starting the servers")
        with contextlib.ExitStack() as stack:
            found = rows.start(stack, root, model, given.peers)
            for row in found:
                differences[f"{model} {row.label}"] = _difference(row, models, model)
            runs = _closed(found, model, given)
            closed += runs
            memory[model] = {row.label: row.server.memory_mb() for row in found if not row.streaming}
            if not given.skip_open_loop:
                say(f"{model}: Poisson arrivals")
                open_loop += _open([row for row in found if row.plain], runs, given)
        if not given.skip_open_loop:
            say(f"{model}: more than it can do")
            goodput += _goodput(root, models, model, given)
    cache = rows.cache(root, "onnxruntime")
    return {
        "environment": environment.describe(threads=1).model_dump(),
        "load_average": [before, os.getloadavg()[0]],
        "options": {"runs": given.runs, "seconds": given.seconds, "peers": {kind: PEERS[kind] for kind in given.peers}},
        "tuned": {runtime: _tuned(root, runtime) for runtime in _runtimes()},
        "closed": closed,
        "differences": differences,
        "memory_mb": memory,
        "open_loop": open_loop,
        "goodput": goodput,
        "ten_models": [start(root, root / "many", transport, cache) for transport in TRANSPORTS],
    }


def _prepare(root: Path, given: argparse.Namespace) -> None:
    """Publishes and tunes the models."""
    publish = [sys.executable, "-m", "tools.bench.models", str(root), str(COPIES)]
    subprocess.run(publish, cwd=ROOT, env=_environment(), check=True, stdout=subprocess.DEVNULL)
    # The copies have the same files, so what is found for mnist-cnn holds for them.
    names = list(dict.fromkeys([*given.models, "mnist-cnn"]))
    for runtime in _runtimes():
        own = sorted({name + one.suffix for name in names for one in rows.variants() if one.runtime == runtime})
        _tune(root, runtime, rows.cache(root, runtime), own, given)


def _tune(
    root: Path, runtime: str, cache: Path, models: list[str], given: argparse.Namespace, cores: Cores = ()
) -> None:
    tune = [*on(cores), sys.executable, "-m", "services.serving.tune", "--runtime", runtime]
    tune += ["--repository", str(root / "models"), "--cache", str(cache), "--seconds", str(given.tune_seconds), *models]
    subprocess.run(tune, cwd=ROOT, env=_environment(), check=True, stdout=subprocess.DEVNULL)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto/gen'}"}


def _runtimes() -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.runtime for one in rows.variants()))


def _tuned(root: Path, runtime: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((rows.cache(root, runtime) / "tuning").glob("*.json"))]


def _difference(row: Row, models: ModelRepository, model: str) -> float:
    difference = row.server.difference(models, row.model, model)
    if difference > row.tolerance:
        raise SystemExit(f"{row.label} answers {model} wrong by {difference:.3g}, at most {row.tolerance:.3g}")
    return difference


def _closed(found: list[Row], model: str, given: argparse.Namespace) -> list[dict[str, Any]]:
    """The servers take turns, run by run and each time in another order, so that what else the machine does, and what
    the one before left of it, hits all of them."""
    measured: defaultdict[tuple[int, str], list[dict[str, float]]] = defaultdict(list)
    for number in range(given.runs):
        say(f"{model}: closed loop, run {number + 1} of {given.runs}")
        for concurrency in given.concurrency:
            for row in random.Random(f"{number} {concurrency}").sample(found, len(found)):
                run = load.closed(row.server, row.model, concurrency, given.seconds, row.streaming)
                measured[concurrency, row.label].append(run.as_dict())
    return [
        {"model": model, "concurrency": concurrency, "server": label, "runs": runs}
        for (concurrency, label), runs in sorted(measured.items())
    ]


def _highest(label: str, closed: list[dict[str, Any]]) -> float:
    """A server's highest median throughput."""
    return max(report.middle(one, "throughput") for one in closed if one["server"] == label)


def _open(found: list[Row], closed: list[dict[str, Any]], given: argparse.Namespace) -> list[dict[str, Any]]:
    """One caller alone and Poisson arrivals after each other, so that both see the same machine; servers take turns."""
    measured: list[dict[str, Any]] = [
        {"model": row.model, "server": row.label, "rate": SHARE * _highest(row.label, closed), "runs": []}
        for row in found
    ]
    for number in range(given.runs):
        for row, one in random.Random(number).sample(list(zip(found, measured, strict=True)), len(found)):
            try:
                alone = load.closed(row.server, row.model, 1, given.seconds)
                loaded = load.poisson(row.server, row.model, one["rate"], max(given.seconds, LONG_S))
            except load.UnstableError as error:
                say(str(error))
                continue
            one["runs"].append({"alone_ms": alone.p99_ms, "poisson_ms": loaded.p99_ms})
    return measured


def _goodput(root: Path, models: ModelRepository, model: str, given: argparse.Namespace) -> list[dict[str, Any]]:
    """At the highest rate and at twice that, with 64 calls let in or queued; the server has cores of its own."""
    its, ours = halves()
    cache, only = root / f"cache-{len(its)}-cores", ("--model-control", "explicit", "--load-model", model)
    _tune(root, "onnxruntime", cache, [model], given, its)
    found = []
    for transport in TRANSPORTS:
        limit = "--max-in-flight" if transport == "envoy" else "--max-queue"
        flags = ("--transport", transport, "--cache", str(cache), limit, "64")
        with bakeoff(root, models.root, *flags, *only, cores=its) as server:
            rates = [load.closed(server, model, 16, given.seconds, cores=ours).throughput for _ in range(given.runs)]
            highest = max(rates)
            runs = [
                {"times": times} | overload(server, models, model, times * highest, given.seconds, seed, ours).as_dict()
                for seed in range(given.runs)
                for times in (1, 2)
            ]
        found.append({"model": model, "transport": transport, "highest": highest, "runs": runs})
    return found


if __name__ == "__main__":
    main()
