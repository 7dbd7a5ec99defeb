"""`python -m services.serving.tune --runtime onnxruntime --repository DIR --cache DIR MODEL…`

Prints one JSON object per line: `progress` while it measures, `tuned` for each model, `error` for one that cannot be.
"""

import argparse
import asyncio
import json
import os
from pathlib import Path
from typing import Any

from core import cpu
from core.errors import BakeoffError
from core.mirror import open_repository
from core.repository import ModelRepository
from services.serving.compute import Predict
from services.serving.loading import Loader
from services.serving.settings import ServingSettings
from services.serving.tuned import Choice, Tuned, TuningCache
from services.serving.tuning import tune


def tell(**what: Any) -> None:
    """One line for whoever started this."""
    print(json.dumps(what), flush=True)


def tune_model(
    name: str, repository: ModelRepository, settings: ServingSettings, cache: TuningCache, seconds: float
) -> Tuned:
    """Measures the newest version of a model and keeps the choice. Raises BakeoffError when it cannot be loaded."""
    repository.refresh(name)
    version = repository.latest(name)
    loader = Loader(repository, settings)
    loaded, checked = loader.load(name, version), loader.check(name, version)
    policy = loaded.config.policy
    default = Choice(
        instances=policy.instances,
        threads=loader.threads(loaded.config),
        max_batch=policy.max_batch,
        max_delay_us=policy.max_delay_ns // 1000,
    )

    def predictor(threads: int) -> Predict:
        return loader.predictor(checked, threads)[0]

    def progress(done: int, total: int, text: str) -> None:
        tell(progress=done, total=total, model=name, text=text)

    tuned = asyncio.run(tune(loaded, default, predictor, settings.threads, seconds, cache.machine, progress))
    cache.keep(tuned)
    return tuned


def main() -> None:
    """Ends with 1 when a model could not be tuned."""
    parser = argparse.ArgumentParser(prog="python -m services.serving.tune", description=__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--runtime", required=True)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), help="unset: the servers' own variable")
    parser.add_argument("--repository", required=True, help="folder or fsspec URL")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each model, about")
    parser.add_argument("--threads", type=int, default=cpu.threads())
    parser.add_argument("--nice", type=int, default=0, help="lowers this process's priority by so much, at most 19")
    parser.add_argument("--trust-repository", action="store_true")
    given = parser.parse_args()
    os.nice(given.nice)
    repository = open_repository(given.repository, given.cache, given.runtime)
    # In a server's container its variables are here too. Without its cache: what was found before must not be the
    # default this is compared with. And nothing listens here.
    settings = ServingSettings(
        runtime=given.runtime,
        **({"device": given.device} if given.device else {}),
        repository=str(repository.root),
        threads=given.threads,
        trust_repository=given.trust_repository,
        cache=None,
        tune_s=0.0,
        host="127.0.0.1",
    )
    cache, failed = TuningCache(given.cache, given.runtime, settings.device), False
    for name in given.models:
        try:
            tell(tuned=tune_model(name, repository, settings, cache, given.seconds).model_dump())
        except BakeoffError as error:
            failed = True
            tell(error=str(error), model=name)
    raise SystemExit(int(failed))


if __name__ == "__main__":
    main()
