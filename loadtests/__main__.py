"""`python -m loadtests RUN_DIR`: one headless load test, from `spec.json` to `result.json`.

Ends with 0 and a result; with 1 and one line on standard error where it could not measure, was stopped (by SIGINT or
SIGTERM, within two seconds, no result written), or no request succeeded (the result is written, with the errors).
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from types import FrameType
from typing import Any

from core.errors import BakeoffError, CancelledError
from core.schemas.results import LoadTestResult
from core.store import Store
from loadtests import driver, headless
from loadtests.run_folder import LoadTestFolder

STOP_AFTER_S = 1.5
"""A stop that takes longer than this ends the process at once."""


def main() -> None:
    """Reads the options, measures, and ends the process."""
    options = parse(sys.argv[1:])
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        status = load_test(options)
    except BakeoffError as error:
        print(f"load test: {error}", file=sys.stderr)
        status = 1
    leave(status)


def load_test(options: argparse.Namespace) -> int:
    """Exit status of one load test; a domain error where there is nothing to write down."""
    with LoadTestFolder(options.run_dir) as folder:
        spec = folder.spec()
        store = Store(options.store, options.cache)
        run_id = options.run_id or options.run_dir.resolve().name
        setting = headless.Setting(options.target, run_id, options.timeout_s, options.metrics)
        images = headless.check(setting, store, spec)
        result = driver.run(stoppable(headless.run(setting, spec, images, folder.progress)))
        folder.finish(result)
    return verdict(result, options.target)


async def stoppable(main: Coroutine[Any, Any, LoadTestResult]) -> LoadTestResult:
    """Awaits `main`; SIGINT or SIGTERM cancels it, and ends the process where that takes too long."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(main)

    def stop() -> None:
        task.cancel()
        loop.call_later(STOP_AFTER_S, give_up)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    return await task


def verdict(result: LoadTestResult, target: str) -> int:
    """1, with the reason on standard error, for a test without a single answered request."""
    if result.requests:
        return 0
    codes = ", ".join(f"{count} × {code}" for code, count in result.errors.items()) or "none was answered in time"
    window = f"the {result.seconds:.1f} s measured"
    print(f"load test: no request to {result.spec.model} at {target} succeeded in {window}: {codes}", file=sys.stderr)
    return 1


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """A stop before anything is measured."""
    raise CancelledError("stopped on request before the first measured request")


def give_up() -> None:
    """The end when calls under way cannot be interrupted."""
    print("load test: stopped on request, with requests under way", file=sys.stderr)
    leave(1)


def leave(status: int) -> None:
    """Ends at once: everything is written, and threads inside gRPC must not hold the process up."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Command line options."""
    parser = argparse.ArgumentParser(prog="python -m loadtests", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="folder with spec.json; receives the result")
    parser.add_argument("--target", required=True, metavar="HOST:PORT", help="inference server (gRPC)")
    parser.add_argument("--store", required=True, metavar="URL", help="store with the prepared data")
    parser.add_argument("--cache", required=True, type=Path, metavar="DIR", help="where copies of remote objects go")
    parser.add_argument("--run-id", default="", metavar="ID", help="id in the result; default: the folder's name")
    parser.add_argument("--metrics", default=None, metavar="URL", help="the server's Prometheus page, for its CPU time")
    parser.add_argument("--timeout-s", type=float, default=10.0, help="longest a request may take (default 10)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
