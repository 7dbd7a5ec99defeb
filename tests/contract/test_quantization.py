"""int8 models: made of a real ONNX file, published beside it, served by both runtimes."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from core import files
from core.errors import InvalidInputError, WrongStateError
from core.prepared import Split
from core.repository import ModelRepository
from core.schemas.artifact import Artifact
from core.schemas.data import DataSpec, DigitsSource, ImageSpec, PreparedManifest
from core.schemas.specs import QuantizeSpec
from core.store import Store
from core.worker import RunFolder
from services.serving.loading import Loader
from services.serving.settings import ServingSettings
from tests.system.onnx_models import linear_model
from tests.unit.serving import published
from trainer.quantization import calibration_images, check_quantization, quantize

MODEL, DATA = "test-arm-keras-s0-onnx", "ab" * 32


@dataclasses.dataclass(frozen=True)
class Site:
    store: Store
    repository: ModelRepository
    source: Artifact

    def spec(self, **changes) -> QuantizeSpec:
        fields = {"model": MODEL, "version": 1, "artifact": self.source.digest, "data": DATA, "images": 40}
        return QuantizeSpec(**{**fields, **changes})


@pytest.fixture
def site(tmp_path) -> Site:
    folder = tmp_path / "prepared"
    folder.mkdir()
    for split, count in (("train", 100), ("test", 50)):
        np.save(folder / f"{split}.images.npy", published.images(count, seed=count))
        np.save(folder / f"{split}.labels.npy", np.zeros(count, np.int64))
    height, width, _ = published.SHAPE
    manifest = PreparedManifest(
        spec=DataSpec(source=DigitsSource(), image=ImageSpec(height=height, width=width, color="grey")),
        source_digest="x",
        classes=published.CLASSES,
        counts={},
        mean=(0.0,),
        std=(1.0,),
        decoder={},
        golden_indices=(),
        sha256={},
    )
    files.write_json(folder / "data.json", manifest)
    store = Store(str(tmp_path / "store"), tmp_path / "cache")
    store.put("prepared", DATA, folder)
    return Site(store, ModelRepository(tmp_path / "models"), publish(tmp_path / "models", MODEL))


def publish(root: Path, name: str, **changes) -> Artifact:
    kernel = published.weights()
    model = linear_model(kernel, published.SHAPE)
    return published.publish(root, name, published.linear(kernel), model, data_fingerprint=DATA, **changes)


def run_folder(tmp_path: Path) -> RunFolder:
    (tmp_path / "quantize-1").mkdir(exist_ok=True)
    return RunFolder(tmp_path / "quantize-1")


def test_the_int8_model_is_one_of_its_own_and_both_runtimes_serve_it(site, tmp_path):
    before = files.sha256_file(site.repository.model_path(MODEL, 1))
    result = quantize(run_folder(tmp_path), site.spec(), site.store, site.repository, threads=1)
    artifact = site.repository.verify(f"{MODEL}-int8", 1)
    assert (artifact.precision, artifact.format, artifact.quantization.images) == ("int8", "onnx", 40)
    assert artifact.quantization.artifact == site.source.digest
    assert 0 < result.model.parity.largest_difference < 0.05
    assert files.sha256_file(site.repository.model_path(MODEL, 1)) == before
    for runtime in ("onnxruntime", "openvino"):
        settings = ServingSettings(runtime=runtime, repository=site.repository.root, threads=1)
        predict = Loader(site.repository, settings).load(f"{MODEL}-int8", 1).predict
        images = published.images(9, seed=3)
        np.testing.assert_allclose(predict(images), published.linear(published.weights())(images), atol=0.05)


def test_a_run_that_was_killed_after_publishing_publishes_nothing_twice(site, tmp_path):
    run = run_folder(tmp_path)
    first = quantize(run, site.spec(), site.store, site.repository, threads=1)
    again = quantize(run, site.spec(), site.store, site.repository, threads=1)
    assert (first.model.artifact, first.model.version) == (again.model.artifact, again.model.version)
    assert site.repository.versions(f"{MODEL}-int8") == [1]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"artifact": "c" * 64}, WrongStateError, "the run is for cccc"),
        ({"data": "c" * 64}, InvalidInputError, "was trained on data abab"),
    ],
)
def test_a_run_for_something_else_is_refused(site, changes, error, message):
    with pytest.raises(error, match=message):
        check_quantization(site.spec(**changes), site.repository)


def test_a_model_of_another_format_or_precision_or_with_a_long_name_is_refused(site):
    root = site.repository.root
    cases = [("m-keras", {"format_name": "keras"}), ("m-int8", {"precision": "int8"}), ("m" * 60, {})]
    for name, changes in cases:
        artifact = publish(root, name, **changes)
        with pytest.raises(InvalidInputError, match=r"only fp32 ONNX|longer than 63"):
            check_quantization(site.spec(model=name, artifact=artifact.digest), site.repository)


def test_calibration_takes_what_there_is_and_the_same_again():
    train = Split(published.images(7), np.zeros(7, np.int64))
    assert len(calibration_images(train, 100, 0)) == 7
    one, again, other = (calibration_images(train, 3, seed) for seed in (0, 0, 1))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
