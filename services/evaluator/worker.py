"""`python -m services.evaluator.worker RUN_DIR …`: executes one evaluate or report run."""

import argparse
import functools
from pathlib import Path

from core import worker
from core.schemas.names import RUNTIMES
from core.schemas.specs import EvaluateSpec, Scoring, parse_evaluator_spec
from core.store import Store
from core.worker import RunFolder
from services.evaluator.evaluation import Server, evaluate
from services.evaluator.reporting import write_report


def main() -> None:
    """Reads the command line the service wrote."""
    parser = argparse.ArgumentParser(prog="python -m services.evaluator.worker", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--store", required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--in-flight", type=int, required=True)
    for runtime in RUNTIMES:
        parser.add_argument(f"--serving-{runtime}", dest=runtime, required=True)
    arguments = parser.parse_args()
    worker.main(functools.partial(work, arguments=arguments), arguments.run)


def work(run: RunFolder, arguments: argparse.Namespace) -> None:
    """Executes the run's spec."""
    store = Store(arguments.store, arguments.cache)
    spec = parse_evaluator_spec(run.spec())
    if isinstance(spec, Scoring):
        target = vars(arguments)[spec.runtime] if isinstance(spec, EvaluateSpec) else spec.target
        evaluate(run, spec, store, Server(target, arguments.in_flight, arguments.threads))
    else:
        write_report(run, spec, store)


if __name__ == "__main__":
    main()
