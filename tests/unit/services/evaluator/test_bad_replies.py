"""Servers whose replies are no probabilities, asked over gRPC: what is left of the experiment's report."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from inference import grpc_service_pb2 as pb
from inference import grpc_service_pb2_grpc as stubs
from numpy.typing import NDArray

from core import files
from core.errors import BakeoffError
from core.schemas.results import TrainResult
from core.schemas.specs import EvaluateSpec
from core.store import Store
from core.worker import RunFolder
from services.evaluator.evaluation import Server, evaluate
from services.evaluator.reporting import write_report
from tests.system.prepared_noise import FINGERPRINT, put_noise
from tests.unit.evaluator.builder import Experiment, changed
from tests.unit.serving import published

IMAGES = 60
PREDICT = published.linear(published.weights(3))


class Damaging(stubs.GRPCInferenceServiceServicer):
    """A linear model under every name; `pytorch` answers with NaN, `fastai` with rows that do not sum to one."""

    def ModelMetadata(self, request: pb.ModelMetadataRequest, _: object) -> pb.ModelMetadataResponse:  # noqa: N802
        tensor = pb.ModelMetadataResponse.TensorMetadata
        return pb.ModelMetadataResponse(
            name=request.name,
            versions=["1"],
            inputs=[tensor(name="image", datatype="UINT8", shape=[-1, *published.SHAPE])],
            outputs=[tensor(name="probabilities", datatype="FP32", shape=[-1, -1])],
        )

    def ModelInfer(self, request: pb.ModelInferRequest, _: object) -> pb.ModelInferResponse:  # noqa: N802
        pixels = np.frombuffer(request.raw_input_contents[0], np.uint8).reshape(-1, *published.SHAPE)
        values = self.damage(request.model_name, PREDICT(pixels))
        return pb.ModelInferResponse(
            model_name=request.model_name,
            model_version="1",
            id=request.id,
            outputs=[
                pb.ModelInferResponse.InferOutputTensor(name="probabilities", datatype="FP32", shape=values.shape)
            ],
            raw_output_contents=[values.tobytes()],
        )

    def damage(self, model: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The last image of a batch, so that the ones before it are good."""
        if "pytorch" in model:
            values[-1, 0] = np.nan
        elif "fastai" in model:
            values[-1] *= np.float32(0.9)
        return values


@pytest.fixture
def server() -> Iterator[Server]:
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        stubs.add_GRPCInferenceServiceServicer_to_server(Damaging(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield Server(f"127.0.0.1:{port}", in_flight=1, threads=1)
        finally:
            server.stop(0).wait()


def test_the_rest_is_reported_and_the_report_says_that_it_is_incomplete(tmp_path: Path, server: Server) -> None:
    made = Experiment(
        classes=published.CLASSES,
        images=IMAGES,
        arms=("matched",),
        frameworks=("keras", "pytorch", "fastai"),
        seeds=(0,),
        load_tests=False,
    )
    store = put_noise(tmp_path, IMAGES)
    train = store.path("prepared", FINGERPRINT) / "train"
    np.save(f"{train}.images.npy", published.images(6))
    np.save(f"{train}.labels.npy", np.arange(6) % 3)
    trainings = [result for result in made.results if isinstance(result, TrainResult)]
    results = changed(made.results[:1], "prepare-1", fingerprint=FINGERPRINT) + trainings
    for result in results:
        files.write_json(tmp_path / result.run_id / "result.json", result)
        store.put("results", result.run_id, tmp_path / result.run_id)
    scored, missing = [], []
    for training in trainings:
        model = training.models[-1]
        spec = EvaluateSpec(
            model=model.name, version=1, artifact=model.artifact, runtime="onnxruntime", data=FINGERPRINT, batch_size=8
        )
        run = started(tmp_path / f"runs/evaluate-{training.spec.framework}", spec)
        try:
            evaluate(run, spec, store, server)
            scored.append(run.run_id)
        except BakeoffError as error:
            missing.append(f"evaluate {model.name}: {error}")
            assert not store.has("results", run.run_id)
    assert scored == ["evaluate-keras"]
    assert "the probabilities of image 7 are not finite" in missing[0]
    assert "the probabilities of image 7 sum to 0.9, expected 1" in missing[1]
    report = made.spec.model_copy(
        update={"results": (*(one.run_id for one in results), *scored), "missing": tuple(missing)}
    )
    write_report(started(tmp_path / "runs/report", report), report, store)
    check_report(store, missing)


def started(folder: Path, spec: object) -> RunFolder:
    files.write_json(folder / "spec.json", spec)
    return RunFolder(folder)


def check_report(store: Store, missing: list[str]) -> None:
    folder = store.path("results", "report")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["missing"] == missing
    (row,) = summary["rows"]
    expected = PREDICT(published.images(IMAGES)).argmax(axis=1) == np.arange(IMAGES) % 3
    assert (row["framework"], row["accuracy"]) == ("keras", float(expected.mean()))
    assert len(summary["trainings"]) == 3
    assert "**Incomplete.**" in (folder / "report.md").read_text()
    assert "Incomplete: 2 parts are missing" in (folder / "report.html").read_text()
