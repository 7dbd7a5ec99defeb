"""`python -m loadtests RUN_DIR`: one headless load test, from `spec.json` to `result.json`.

Ends with 0 and a result; with 1 and one line on standard error where it could not measure, was stopped (by SIGINT or
SIGTERM, within two seconds, no result written), or no request succeeded (the result is written, with the errors).
"""

# Importing Locust patches the standard library: before anything else opens a socket, starts a thread or takes a lock.
import locust  # noqa: F401  isort: skip

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

import gevent
import gevent.event

from core.errors import BakeoffError
from core.schemas.results import LoadTestResult
from core.store import Store
from loadtests.headless import Setting, run
from loadtests.run_folder import LoadTestFolder

STOP_AFTER_S = 1.5
"""A stop that takes longer than this ends the process at once."""


def main() -> None:
    """Reads the options, measures, and ends the process."""
    options = parse(sys.argv[1:])
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    stop = gevent.event.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, request_stop, stop)
    try:
        status = load_test(options, stop)
    except BakeoffError as error:
        print(f"load test: {error}", file=sys.stderr)
        status = 1
    leave(status)


def load_test(options: argparse.Namespace, stop: gevent.event.Event) -> int:
    """Exit status of one load test; a domain error where there is nothing to write down."""
    with LoadTestFolder(options.run_dir) as folder:
        spec = folder.spec()
        store = Store(options.store, options.cache)
        run_id = options.run_id or options.run_dir.resolve().name
        result = run(Setting(options.target, store, run_id, options.timeout_s), spec, stop, folder.progress)
        folder.finish(result)
    return verdict(result, options.target)


def verdict(result: LoadTestResult, target: str) -> int:
    """1, with the reason on standard error, for a test without a single answered request."""
    if result.requests:
        return 0
    codes = ", ".join(f"{count} × {code}" for code, count in result.errors.items()) or "none was answered in time"
    window = f"the {result.seconds:.1f} s measured"
    print(f"load test: no request to {result.spec.model} at {target} succeeded in {window}: {codes}", file=sys.stderr)
    return 1


def request_stop(stop: gevent.event.Event) -> None:
    """Asks for an orderly end, and makes sure of one."""
    stop.set()
    gevent.spawn_later(STOP_AFTER_S, give_up)


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
    parser.add_argument("--timeout-s", type=float, default=10.0, help="longest a request may take (default 10)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
