"""`python -m services.evaluator.worker RUN_DIR …`: executes one evaluate or report run."""

import argparse
import functools
from pathlib import Path

<<<<<<< HEAD
import numpy as np
from numpy.typing import NDArray

from core import environment, worker
from core.errors import WrongStateError
from core.prepared import PreparedData, open_prepared
from core.results import AnyResult, read_result
from core.schemas.results import EvaluateResult, PrepareResult, TrainResult
from core.schemas.specs import EvaluateSpec, ReportSpec, parse_evaluator_spec
from core.store import Store
from core.worker import RunFolder
from evaluator import metrics, report, scoring
from evaluator.report.samples import samples_of
from services.client.checks import check_artifact
from services.client.inference import InferenceClient
from services.client.tensors import INPUT, OUTPUT, ModelMetadata

CALL_TIMEOUT_S = 120.0
PREDICTIONS = "predictions.npz"
AUGMENTED = "augmented.png"
=======
from core import worker
from core.schemas.specs import EvaluateSpec, parse_evaluator_spec
from core.store import Store
from core.worker import RunFolder
from services.evaluator.evaluation import Server, evaluate
from services.evaluator.reporting import write_report
>>>>>>> main


def main() -> None:
    """Reads the command line the service wrote."""
    parser = argparse.ArgumentParser(prog="python -m services.evaluator.worker", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--store", required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--in-flight", type=int, required=True)
    for runtime in ("onnxruntime", "tensorflow", "pytorch"):
        parser.add_argument(f"--serving-{runtime}", required=True)
    arguments = parser.parse_args()
    worker.main(functools.partial(work, arguments=arguments), arguments.run)


def work(run: RunFolder, arguments: argparse.Namespace) -> None:
    """Executes the run's spec."""
    store = Store(arguments.store, arguments.cache)
    spec = parse_evaluator_spec(run.spec())
    if isinstance(spec, EvaluateSpec):
        target = getattr(arguments, f"serving_{spec.runtime}")
        evaluate(run, spec, store, Server(target, arguments.in_flight, arguments.threads))
    else:
        write_report(run, spec, store)


<<<<<<< HEAD
def evaluate(run: RunFolder, spec: EvaluateSpec, store: Store, target: str, threads: int) -> None:
    """Scores the model that is served at `target` and keeps every prediction."""
    data = open_prepared(store, spec.data)
    test, classes = data.split("test"), data.manifest.classes
    start = time.perf_counter()
    with InferenceClient(target, timeout_s=CALL_TIMEOUT_S) as client:
        check_contract(client.model_metadata(spec.model, spec.version), data)
        check_artifact(client, spec.model, spec.version, spec.artifact)
        probabilities = scoring.score(
            lambda images: client.predict(spec.model, images, spec.version).probabilities,
            test,
            spec.batch_size,
            lambda done, total: run.progress("score", done, total, "images"),
        )
    result = EvaluateResult(
        run_id=run.run_id,
        spec=spec,
        seconds=time.perf_counter() - start,
        environment=environment.describe(threads),
        **metrics.compute(test.labels, probabilities, classes),
    )
    run.finish(result)
    folder = object_folder(run)
    np.savez_compressed(folder / PREDICTIONS, probabilities=probabilities)
    shutil.copyfile(run.path / worker.RESULT, folder / worker.RESULT)
    store.put("results", run.run_id, folder)
    shutil.rmtree(folder)


def object_folder(run: RunFolder) -> Path:
    """An empty folder for the result object; what a killed attempt left in it is gone."""
    folder = run.path / "object"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def check_contract(metadata: ModelMetadata, data: PreparedData) -> None:
    """Refuses a served model whose input or classes do not fit the data, before the first image.

    Raises:
        WrongStateError: naming the tensor, what it is and what the data needs.
    """
    expected = {
        INPUT: ("UINT8", (-1, *data.manifest.spec.image.shape)),
        OUTPUT: ("FP32", (-1, len(data.manifest.classes))),
    }
    found = {tensor.name: (tensor.datatype, tensor.shape) for tensor in (*metadata.inputs, *metadata.outputs)}
    for name, wanted in expected.items():
        if name not in found or found[name][0] != wanted[0] or found[name][1][1:] != wanted[1][1:]:
            raise WrongStateError(
                f"model {metadata.name}: {name} is {found.get(name, 'absent')}, the data {data.fingerprint[:12]}… "
                f"needs {wanted}; evaluate it on the data it was trained for"
            )


def write_report(run: RunFolder, spec: ReportSpec, store: Store) -> None:
    """Writes the report over the results there are."""
    run.progress("report", 0, 1, "reports")
    spec, results = read_results(store, spec)
    probabilities: dict[str, NDArray[np.float32]] = {
        result.run_id: read_predictions(store, result.run_id)
        for result in results
        if isinstance(result, EvaluateResult)
    }
    prepared = next((result for result in results if isinstance(result, PrepareResult)), None)
    if prepared is None:
        raise WrongStateError(f"the report of {spec.experiment} names no prepared data; run its prepare step first")
    data = open_prepared(store, prepared.fingerprint)
    samples = samples_of(data.split("train"), data.manifest.classes)
    folder = object_folder(run)
    grids = {result.run_id: grid for result in results if (grid := read_grid(store, result)) is not None}
    summary = report.write(spec, results, probabilities, data.split("test"), samples, folder, grids)
    run.finish(summary)
    store.put("results", run.run_id, folder)
    shutil.rmtree(folder)


def read_results(store: Store, spec: ReportSpec) -> tuple[ReportSpec, list[AnyResult]]:
    """The result documents that can be read, and the spec with a line of `missing` for each of the others."""
    results: list[AnyResult] = []
    unread: list[str] = []
    for result_id in spec.results:
        try:
            results.append(read_result(store, result_id))
        except WrongStateError as error:
            unread.append(str(error))
    return spec.model_copy(update={"missing": (*spec.missing, *unread)}), results


def read_grid(store: Store, result: AnyResult) -> bytes | None:
    """The picture of augmented samples kept beside a training, if there is one."""
    path = store.path("results", result.run_id) / AUGMENTED
    return path.read_bytes() if isinstance(result, TrainResult) and path.is_file() else None


def read_predictions(store: Store, result_id: str) -> NDArray[np.float32]:
    """Probabilities float32 [n, classes] kept beside an evaluation."""
    with np.load(store.path("results", result_id) / PREDICTIONS, allow_pickle=False) as archive:
        found: NDArray[np.float32] = archive["probabilities"]
    return found


=======
>>>>>>> main
if __name__ == "__main__":
    main()
