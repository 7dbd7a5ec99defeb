"""Our trainer's loops against bare ones of the same framework, epoch by epoch in turn.

    python tools/bench_training [--rounds 5] [--images 12800] [--threads N] [--write docs/training-speed.md]

Each framework runs in a process of its own: an epoch of ours, an epoch of the bare loop on the same net, images, batch
size and threads, and so on. The first pair warms up and does not count. Validation (one batch in ours, one image in
fastai's bare loop) is in the CPU time. The ratio of CPU time, bare over ours, is what a machine with other work on it
still tells. Pixels are noise: speed does not depend on them. Ends with status 1 where a goal is missed: a median ratio
below 0.95, or waiting for data above 5 %.
"""

import argparse
import ast
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from time import process_time
from typing import Any

from core import cpu, memory

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FRAMEWORKS = ("keras", "tensorflow", "pytorch", "fastai")
NETWORKS = {"mnist-cnn": ((28, 28, 1), (32, 64), 1), "cifar-cnn3": ((32, 32, 3), (32, 64, 128), 0)}
"""Image shape, filters and padding of the convolutions."""
MODES = {
    "matched": ("matched", "float32"),
    "idiomatic": ("idiomatic", "float32"),
    "matched-bfloat16": ("matched", "bfloat16"),
}
"""A recipe's mode and precision; the bare loops compute in float32."""
BATCH = 64
RATIO, WAITING = 0.95, 0.05
"""Goals: images per second over the bare loop's at least, and waiting's share of the training time at most."""
COLUMNS = {
    "network": "{network}",
    "framework": "{framework}",
    "mode": "{mode}",
    "ours, images/s": "{ours:,.0f}",
    "bare, images/s": "{bare:,.0f}",
    "ratio": "{ratio:.2f}",
    "range": "{low:.2f}–{high:.2f}",
    "of CPU time": "{cpu:.2f}",
    "waiting for data": "{waiting}",
}
ROW = f"| {' | '.join(COLUMNS.values())} |"
HEAD = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=12800)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--frameworks", nargs="+", choices=FRAMEWORKS, default=FRAMEWORKS)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--write", type=Path, help="put the table between the markers of this Markdown file")
    parser.add_argument("--child", choices=FRAMEWORKS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        for network in arguments.networks:
            for mode in arguments.modes:
                print(json.dumps(measure(arguments.child, network, mode, arguments)), flush=True)
        return
    print(HEAD)
    rows, missed = [], []
    for found in (row for framework in arguments.frameworks for row in child(framework)):
        rows.append(ROW.format(**found | {"waiting": f"{found['waiting']:.1%}"}))
        print(rows[-1], flush=True)
        missed += missed_goals(found)
    told = f"Missed: {'; '.join(missed)}." if missed else "Every median meets both goals."
    print(told)
    if arguments.write:
        write(arguments.write, [*machine(arguments), "", HEAD, *sorted(rows), "", told, "", *lines_of_code()])
    if missed:
        raise SystemExit(1)


def missed_goals(found: dict[str, Any]) -> Iterator[str]:
    """In words, for one row."""
    row = f"{found['network']} in {found['framework']}, {found['mode']}"
    if found["ratio"] < RATIO:
        yield f"{row}: ratio {found['ratio']:.3f} ({found['low']:.2f}–{found['high']:.2f})"
    if found["waiting"] > WAITING:
        yield f"{row}: waiting for data {found['waiting']:.1%}"


def child(framework: str) -> Iterator[dict[str, Any]]:
    """One framework's rows, from a process of its own."""
    command = [sys.executable, str(HERE), *sys.argv[1:], "--child", framework]
    # In the surroundings that a trainer service gives its workers; for both loops.
    cpu.share_cores()
    memory.keep_freed()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    assert process.stdout is not None
    yield from map(json.loads, process.stdout)
    if process.wait():
        raise SystemExit(f"{framework} ended with {process.returncode}; run it alone with --child {framework}")


class Turns:
    """Callbacks of our training: after each of its epochs the bare loop has one."""

    resume = None
    resume_epoch = 0
    each_step = None
    stopped = False

    def __init__(self, bare: Iterator[float]) -> None:
        self.ours: list[Any] = []
        self.history = self.ours
        self.bare_seconds: list[float] = []
        self.ours_cpu: list[float] = []
        self.bare_cpu: list[float] = []
        self._resumed = process_time()
        self._bare = bare

    def step(self, epoch: int, done: int, total: int, loss: float | None) -> None:
        """Nobody watches."""

    def epoch(self, metrics: Any, state: Callable[[], Any]) -> None:
        self.ours.append(metrics)
        now = process_time()
        self.ours_cpu.append(now - self._resumed)
        # fastai's callbacks run without gradients; the bare loop needs them.
        torch = sys.modules.get("torch")
        with torch.enable_grad() if torch else nullcontext():
            self.bare_seconds.append(next(self._bare))
        self._resumed = process_time()
        self.bare_cpu.append(self._resumed - now)


def measure(framework_name: str, network: str, mode: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Images per second of both, and the ratio of each pair."""
    import numpy as np

    from core.prepared import Split
    from core.schemas.recipe import Recipe, complete
    from trainer.architectures import get_architecture
    from trainer.framework import BuildSettings, TrainingData, get_framework
    from trainer.weights import initial_weights

    shape, filters, padding = NETWORKS[network]
    draw = np.random.default_rng(0)
    number = arguments.images // BATCH * BATCH
    split = Split(draw.integers(0, 256, (number, *shape), dtype=np.uint8), draw.integers(0, 10, number))
    few = Split(split.images[:BATCH], split.labels[:BATCH])
    framework = get_framework(framework_name)
    recipe_mode, precision = MODES[mode]
    written = {"epochs": arguments.rounds + 1, "batch_size": BATCH, "precision": precision}
    recipe = Recipe(**complete(recipe_mode, written))
    plain = (0.0,) * shape[2], (1.0,) * shape[2]
    settings = BuildSettings(recipe, 0, *plain, threads=arguments.threads)
    architecture = get_architecture(network, shape, 10)
    weights = initial_weights(architecture, 0) if recipe.initializer == "shared" else None
    model = framework.build(architecture, weights, settings)
    bare = importlib.import_module(f"bare_{framework_name}").epochs(split.images, split.labels, filters, padding, BATCH)
    turns = Turns(bare)
    framework.fit(model, TrainingData(split, few, tuple("0123456789")), recipe, turns)
    ours = [metrics.train_seconds for metrics in turns.ours[1:]]
    waited = [metrics.data_seconds for metrics in turns.ours[1:]]
    ratios = [theirs / mine for mine, theirs in zip(ours, turns.bare_seconds[1:], strict=True)]
    return {
        "network": network,
        "framework": framework_name,
        "mode": mode,
        "ours": number / statistics.median(ours),
        "bare": number / statistics.median(turns.bare_seconds[1:]),
        "ratio": statistics.median(ratios),
        "low": min(ratios),
        "high": max(ratios),
        "cpu": statistics.median(b / o for o, b in zip(turns.ours_cpu[1:], turns.bare_cpu[1:], strict=True)),
        "waiting": statistics.median(share / total for share, total in zip(waited, ours, strict=True)),
    }


def machine(arguments: argparse.Namespace) -> list[str]:
    cpu = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), platform.machine())  # fmt: skip
    return [
        f"{cpu}, {arguments.threads} threads, load {os.getloadavg()[0]:.1f} at the end; {arguments.rounds} pairs of "
        f"epochs of {arguments.images:,} images, batch {BATCH}."
    ]


def lines_of_code() -> list[str]:
    """Lines of each bare script; each writes its network out, so that all count the same."""
    return [
        "| bare script | lines of code |",
        "|---|---|",
        *(f"| {name} | {len(code_lines(HERE / f'bare_{name}.py'))} |" for name in FRAMEWORKS),
    ]


def code_lines(path: Path) -> list[str]:
    """Those that are neither empty, comment nor docstring."""
    text = path.read_text()
    documented = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Module | ast.FunctionDef))
    words = {
        number
        for node in documented
        if ast.get_docstring(node) is not None
        for number in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    return [line for number, line in lines if line and not line.startswith("#") and number not in words]


def write(page: Path, lines: list[str]) -> None:
    """Replaces what lies between the markers."""
    begin, end = "<!-- measured -->", "<!-- /measured -->"
    before, rest = page.read_text().split(begin)
    page.write_text("\n".join([before + begin, *lines, end + rest.split(end)[1]]))


if __name__ == "__main__":
    main()
