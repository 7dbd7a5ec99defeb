"""What one inference costs: ours on both transports, KServe's and MLServer's Python servers, in interleaved runs.

    python -m tools.bench [--runs 3] [--write docs]

The same ONNX files, the same client (NVIDIA's perf_analyzer, one image per request, closed loop) on the same cores.
CPU time is that of the server's processes, from /proc, over the inferences it counted in the same span. The answers of
every server are compared with the files' golden cases in the same run.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from core import environment
from core.repository import ModelRepository
from tools.bench import load, report
from tools.bench.overload import overload
from tools.bench.servers import PEERS, TOLERANCE, Server, bakeoff, peer
from tools.bench.start import start
from tools.venvs import PERF_ANALYZER, ROOT, python_with

MODELS = {"mnist-cnn": 0, "cnn5": 2}
"""Model to the threads a peer computes it in: a light model is fastest in the event loop itself."""
TRANSPORTS = ("grpcio", "envoy")
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
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
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
    models, cache = ModelRepository(root / "models"), root / "cache"
    closed, differences, memory = [], {}, {}
    open_loop: list[dict[str, Any]] = []
    goodput: list[dict[str, Any]] = []
    for model in given.models:
        say(f"{model}: starting the servers")
        with contextlib.ExitStack() as stack:
            servers = _servers(stack, root, model, given.peers, cache)
            for label, server in servers.items():
                differences[f"{model} {label}"] = difference = server.difference(models, model)
                if difference > TOLERANCE:
                    raise SystemExit(f"{label} answers {model} wrong by {difference:.3g}, at most {TOLERANCE:.3g}")
            runs = _closed(servers, model, given)
            closed += runs
            memory[model] = {label: server.memory_mb() for label, server in servers.items()}
            if not given.skip_open_loop:
                say(f"{model}: Poisson arrivals")
                open_loop += [_open(server, label, model, runs, given) for label, server in servers.items()]
        if not given.skip_open_loop:
            say(f"{model}: more than it can do")
            goodput += [_goodput(root, models, model, transport, cache, runs, given) for transport in TRANSPORTS]
    return {
        "environment": environment.describe(threads=1).model_dump(),
        "load_average": [before, os.getloadavg()[0]],
        "options": {"runs": given.runs, "seconds": given.seconds, "peers": {kind: PEERS[kind] for kind in given.peers}},
        "tuned": [json.loads(path.read_text()) for path in sorted((cache / "tuning").glob("*.json"))],
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
    environment_ = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto/gen'}"}
    subprocess.run(publish, cwd=ROOT, env=environment_, check=True, stdout=subprocess.DEVNULL)
    # The copies have the same files, so what is found for mnist-cnn holds for them.
    names = list(dict.fromkeys([*given.models, "mnist-cnn"]))
    tune = [
        sys.executable,
        "-m",
        "services.serving.tune",
        "--runtime",
        "onnxruntime",
        "--repository",
        str(root / "models"),
    ]
    tune += ["--cache", str(root / "cache"), "--seconds", str(given.tune_seconds), *names]
    subprocess.run(tune, cwd=ROOT, env=environment_, check=True, stdout=subprocess.DEVNULL)


def _servers(stack: contextlib.ExitStack, root: Path, model: str, peers: list[str], cache: Path) -> dict[str, Server]:
    ours = {
        f"Bakeoff, {transport}": bakeoff(root, root / "models", "--transport", transport, "--cache", str(cache))
        for transport in TRANSPORTS
    }
    others = {kind: peer(kind, root, root / "models", model, MODELS[model]) for kind in peers}
    return {label: stack.enter_context(server) for label, server in {**ours, **others}.items()}


def _closed(servers: dict[str, Server], model: str, given: argparse.Namespace) -> list[dict[str, Any]]:
    """The servers take turns, run by run, so that what else the machine does hits all of them."""
    measured: defaultdict[tuple[int, str], list[dict[str, float]]] = defaultdict(list)
    for number in range(given.runs):
        say(f"{model}: closed loop, run {number + 1} of {given.runs}")
        for concurrency in given.concurrency:
            for label, server in servers.items():
                run = load.closed(server, model, concurrency, given.seconds)
                measured[concurrency, label].append(run.as_dict())
    return [
        {"model": model, "concurrency": concurrency, "server": label, "runs": runs}
        for (concurrency, label), runs in sorted(measured.items())
    ]


def _highest(label: str, closed: list[dict[str, Any]]) -> float:
    """A server's highest median throughput."""
    return max(report.middle(one, "throughput") for one in closed if one["server"] == label)


def _open(
    server: Server, label: str, model: str, closed: list[dict[str, Any]], given: argparse.Namespace
) -> dict[str, Any]:
    alone = load.closed(server, model, 1, given.seconds)
    rate = SHARE * _highest(label, closed)
    try:
        loaded = load.poisson(server, model, rate, max(given.seconds, LONG_S)).as_dict()
    except load.UnstableError as error:
        say(str(error))
        loaded = None
    return {"model": model, "server": label, "rate": rate, "alone": alone.as_dict(), "poisson": loaded}


def _goodput(
    root: Path,
    models: ModelRepository,
    model: str,
    transport: str,
    cache: Path,
    closed: list[dict[str, Any]],
    given: argparse.Namespace,
) -> dict[str, Any]:
    """At the highest rate and at twice that, with a queue of a few batches."""
    highest = _highest(f"Bakeoff, {transport}", closed)
    flags = ("--transport", transport, "--cache", str(cache), "--max-queue", "64")
    with bakeoff(root, models.root, *flags) as server:
        runs = [overload(server, models, model, times * highest, given.seconds).as_dict() for times in (1.0, 2.0)]
    return {"model": model, "transport": transport, "highest": highest, "runs": runs}


if __name__ == "__main__":
    main()
