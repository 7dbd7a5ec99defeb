"""What the generator itself can do, and whether it can be trusted: measured against a server that computes nothing.

    python -m loadtests.bench_null

A served model whose figures come near these was not measured; the generator was. Ends with 1 where the generator could
not keep a schedule of `RATE` queries per second, or where a server that froze for a second does not show in p99.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from core.schemas.results import LoadTestResult
from core.schemas.specs import LoadTestSpec
from loadtests import driver, headless
from loadtests.images import random_images

SHAPE = (28, 28, 1)
USERS, RATES = (1, 8, 32), (100.0, 300.0, 1000.0)
RATE, STALL_S = 100.0, 1.0
"""The schedule that has to be kept, and the freeze that has to be seen."""
WARMUP_S, DURATION_S = 0.5, 3.0
COLUMNS = ("", "queries/s", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "late", "CPU", "errors")


def main() -> None:
    """Measures, prints a row each, and judges."""
    print(f"{COLUMNS[0]:24}" + "".join(f"{title:>11}" for title in COLUMNS[1:]))
    with null_server() as target:
        for users in USERS:
            _show(f"closed, {users} users", measure(target, scenario="closed", users=users))
        paced = {rate: measure(target, scenario="server", rate=rate) for rate in RATES}
    for rate, result in paced.items():
        _show(f"server, {rate:g}/s", result)
    with null_server("--stall-s", str(STALL_S), "--stall-after", str(round(RATE * (WARMUP_S + 1)))) as target:
        stalled = measure(target, scenario="server", rate=RATE)
    _show(f"server, {RATE:g}/s, stalled", stalled)
    failures = judge(paced[RATE], stalled)
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    sys.exit(1 if failures else 0)


def judge(paced: LoadTestResult, stalled: LoadTestResult) -> list[str]:
    """Why the generator's figures are not to be trusted here; empty where they are."""
    failures = [*paced.problems]
    # A second in a window of three: a third of the queries were due in it, and waited half of it at the median.
    if stalled.latency_ms.p99 < 1000 * STALL_S / 2:
        failures.append(f"a freeze of {STALL_S:g} s does not show: p99 is {stalled.latency_ms.p99:.1f} ms")
    return failures


def measure(target: str, **traffic: Any) -> LoadTestResult:
    """One measurement of the null server."""
    names = {"model": "null", "version": 1, "artifact": "0" * 64, "runtime": "onnxruntime", "data": "0" * 64}
    spec = LoadTestSpec.model_validate({**names, "warmup_s": WARMUP_S, "duration_s": DURATION_S, **traffic})
    setting = headless.Setting(target, "null", timeout_s=10.0)
    return driver.run(headless.run(setting, spec, random_images(SHAPE, 0), lambda *_: None))


@contextlib.contextmanager
def null_server(*options: str) -> Iterator[str]:
    """The address of a null server that runs while the block does."""
    command = [sys.executable, "-m", "loadtests.null_server", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def _show(label: str, result: LoadTestResult) -> None:
    latency = result.latency_ms
    late = "" if result.late_share is None else f"{result.late_share:.1%}"
    figures = [f"{result.throughput:.0f}", *(f"{v:.3f}" for v in (latency.p50, latency.p99, latency.p999, latency.max))]
    figures += [late, f"{result.generator_cpu or 0:.0%}", str(sum(result.errors.values()))]
    print(f"{label:24}" + "".join(f"{figure:>11}" for figure in figures), flush=True)


if __name__ == "__main__":
    main()
