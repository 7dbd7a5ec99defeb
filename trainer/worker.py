"""`python -m trainer.worker RUN_DIR …`: executes one run of a trainer service; its result goes into the store."""

import argparse
import functools
import shutil
import time
from pathlib import Path

from core import environment, worker
from core.contention import TimedSection
from core.errors import CancelledError, KilledError
from core.mirror import open_repository
from core.prepared import open_prepared
from core.repository import ModelRepository
from core.schemas.results import FindRateResult, PrepareResult, PublishedModel, QuantizeResult, TrainResult
from core.schemas.specs import FindRateSpec, PrepareSpec, QuantizeSpec, TrainSpec, parse_trainer_spec
from core.store import Store
from core.worker import RunFolder
from trainer import exhaustion, preparation, quantization, rate_finder
from trainer.framework import Framework, choose_device, get_framework
from trainer.publishing import Publisher
from trainer.training import Machine, Stopwatch, extras_folder, train


def main() -> None:
    """Reads the command line the service wrote."""
    parser = argparse.ArgumentParser(prog="python -m trainer.worker", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--store", required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--repository", required=True, help="folder or fsspec URL")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    arguments = parser.parse_args()
    worker.main(functools.partial(work, arguments=arguments), arguments.run)


def work(run: RunFolder, arguments: argparse.Namespace) -> None:
    """Executes the run's spec. What it needed on the way is gone afterwards, unless the run is to go on."""
    try:
        execute(run, arguments)
    except (CancelledError, KilledError):
        # A stopped service's runs go on; of one that is cancelled for good the service removes it.
        raise
    except BaseException:
        run.clear()
        raise
    run.clear()


def execute(run: RunFolder, arguments: argparse.Namespace) -> None:
    """By the kind of the spec."""
    store = Store(arguments.store, arguments.cache)
    spec = parse_trainer_spec(run.spec())
    if isinstance(spec, PrepareSpec):
        prepare(run, spec, store, arguments.threads)
    elif isinstance(spec, FindRateSpec):
        find_rate(run, spec, store, arguments)
    elif isinstance(spec, QuantizeSpec):
        repository = open_repository(arguments.repository, arguments.cache)
        publish_result(run, store, quantization.quantize(run, spec, store, repository, arguments.threads))
    else:
        train_and_publish(run, spec, store, open_repository(arguments.repository, arguments.cache), arguments)


def prepare(run: RunFolder, spec: PrepareSpec, store: Store, threads: int) -> None:
    """Prepares a data source."""
    start = time.perf_counter()
    folder = run.path / worker.WORK
    # A killed attempt's.
    run.clear()
    prepared = preparation.prepare(
        spec, store, folder, lambda done, total: run.progress("prepare", done, total, "images")
    )
    manifest = prepared.manifest
    for item in manifest.skipped:
        run.log("warning", f"skipped {item}")
    for gap in preparation.gaps(manifest):
        run.log("warning", gap)
    publish_result(
        run,
        store,
        PrepareResult(
            run_id=run.run_id,
            spec=spec,
            fingerprint=prepared.fingerprint,
            classes=manifest.classes,
            counts=manifest.counts,
            skipped=manifest.skipped,
            seconds=time.perf_counter() - start,
            environment=environment.describe(threads),
        ),
    )


def machine_of(framework: Framework, arguments: argparse.Namespace) -> Machine:
    """Threads and device of a run. Raises WrongStateError where the device that is asked for is not there."""
    return Machine(arguments.threads, choose_device(framework, arguments.device))


def train_and_publish(
    run: RunFolder, spec: TrainSpec, store: Store, repository: ModelRepository, arguments: argparse.Namespace
) -> None:
    """Trains, exports every format, and publishes the artefacts."""
    watch = Stopwatch()
    run.progress("start", 0, 1, "framework")
    with watch.phase("start"):
        framework = get_framework(spec.framework)
        machine = machine_of(framework, arguments)
        data = open_prepared(store, spec.data)
    before = environment.describe(machine.threads, device=machine.device)
    # The export is timed too, and it would disturb another run as much as training does.
    with TimedSection(memory=run.path / "timed") as timed:
        with exhaustion.named(spec, data.manifest.spec.image, machine.device):
            trained = train(framework, spec, data, run, watch, machine)
        with watch.phase("export"):
            publisher = Publisher(framework, spec, data, trained, machine.threads)
            models = export(run, spec, publisher, repository)
            framework.extras(trained.model, extras_folder(run))
    size = len(data.split("train"))
    images = sum(size if metrics.train_images is None else metrics.train_images for metrics in trained.history)
    publish_result(
        run,
        store,
        TrainResult(
            run_id=run.run_id,
            spec=spec,
            parameters=sum(trained.architecture.count(trainable) for trainable in (True, False)),
            trainable_parameters=trained.architecture.count(trainable=True),
            history=trained.history,
            seconds=watch.seconds,
            images_per_second=images / sum(metrics.train_seconds for metrics in trained.history),
            peak_memory_bytes=environment.peak_memory_bytes(),
            attempts=run.attempt(),
            models=models,
            environment=before.model_copy(update={"contended": timed.contended}),
        ),
    )


def find_rate(run: RunFolder, spec: FindRateSpec, store: Store, arguments: argparse.Namespace) -> None:
    """Looks for a learning rate."""
    start = time.perf_counter()
    run.progress("start", 0, 1, "framework")
    framework = get_framework(spec.framework)
    machine = machine_of(framework, arguments)
    data = open_prepared(store, spec.data)
    with exhaustion.named(spec, data.manifest.spec.image, machine.device):
        found = rate_finder.find(framework, spec, data, run, machine)
    publish_result(
        run,
        store,
        FindRateResult(
            run_id=run.run_id,
            spec=spec,
            rates=found.rates,
            losses=found.losses,
            smoothed=found.smoothed,
            valley=found.valley,
            steep=found.steep,
            diverged=found.diverged,
            seconds=time.perf_counter() - start,
            environment=environment.describe(machine.threads, device=machine.device),
        ),
    )


def export(
    run: RunFolder, spec: TrainSpec, publisher: Publisher, repository: ModelRepository
) -> tuple[PublishedModel, ...]:
    """Publishes every format of the spec, with progress."""
    models = []
    for done, format_name in enumerate(spec.formats, 1):
        models.append(publisher.publish(repository, format_name, run))
        run.progress("export", done, len(spec.formats), "formats")
    return tuple(models)


def publish_result(
    run: RunFolder, store: Store, result: PrepareResult | TrainResult | FindRateResult | QuantizeResult
) -> None:
    """Writes the result, and the result object that marks the step as done for everybody."""
    run.finish(result)
    folder = run.path / "object"
    shutil.rmtree(folder, ignore_errors=True)
    extras = run.path / "extras"
    if extras.is_dir():
        shutil.copytree(extras, folder)
    folder.mkdir(exist_ok=True)
    shutil.copyfile(run.path / worker.RESULT, folder / worker.RESULT)
    store.put("results", run.run_id, folder)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
