import json
import sys
from pathlib import Path

import numpy as np
import pytest
from inference import model_config_pb2 as pb

from core.errors import InvalidInputError, NotFoundError, WrongStateError
from core.repository import ModelRepository
from services.serving import loading
from services.serving.loading import Loader
from services.serving.settings import ServingSettings
from tests.unit.serving import published

PREDICT = published.linear(published.weights())


def load(root: Path, name: str = "m", predict=PREDICT, **settings):
    """Loads version 1 with a runtime that gives `predict` for every file."""
    given = ServingSettings(**{"runtime": "onnxruntime", "repository": root, "trust_repository": True, **settings})
    return Loader(ModelRepository(root), given, lambda *_: (predict, "cpu")).load(name, 1)


def test_a_model_that_reproduces_its_golden_cases_is_loaded(tmp_path):
    published.publish(tmp_path, "m", PREDICT)
    loaded = load(tmp_path)
    assert loaded.config.shape == published.SHAPE
    assert loaded.config.classes == published.CLASSES


@pytest.mark.parametrize(
    ("runtime_name", "format_name", "threads"), [("onnxruntime", "onnx", 3), ("tensorflow", "keras", 6)]
)
def test_threads_are_divided_among_instances_unless_they_share_one_pool(tmp_path, runtime_name, format_name, threads):
    published.publish(tmp_path, "m", PREDICT, format_name=format_name)
    seen = []

    def runtime(name, path, given, data):
        seen.append((name, path.name, given))
        return PREDICT, "cpu"

    settings = ServingSettings(runtime=runtime_name, repository=tmp_path, threads=6, instances=2, trust_repository=True)
    Loader(ModelRepository(tmp_path), settings, runtime).load("m", 1)
    assert seen == [(format_name, f"model.{format_name}", threads)]


def test_the_smallest_and_the_largest_batch_are_warmed_up(tmp_path):
    published.publish(tmp_path, "m", PREDICT)
    sizes = []

    def predict(images):
        sizes.append(len(images))
        return PREDICT(images)

    load(tmp_path, predict=predict, max_batch=6)
    assert sizes == [4, 1, 6]


def test_a_model_that_differs_from_its_golden_cases_is_refused_with_the_difference(tmp_path):
    published.publish(tmp_path, "m", PREDICT)
    with pytest.raises(InvalidInputError, match=r"differs from its golden cases by 0\.\d+, expected at most 0\.0001"):
        load(tmp_path, predict=published.linear(published.weights(seed=1)))


def test_probabilities_that_are_not_numbers_do_not_pass_as_golden(tmp_path):
    published.publish(tmp_path, "m", PREDICT)
    with pytest.raises(InvalidInputError, match="differs from its golden cases by nan"):
        load(tmp_path, predict=lambda images: PREDICT(images) * np.float32("nan"))


def test_a_model_with_the_wrong_number_of_classes_is_refused(tmp_path):
    published.publish(tmp_path, "m", PREDICT)
    with pytest.raises(InvalidInputError, match=r"gives float32 \(4, 2\), expected float32 \(4, 3\)"):
        load(tmp_path, predict=lambda images: PREDICT(images)[:, :2])


def test_a_model_without_golden_cases_is_refused(tmp_path):
    published.publish(tmp_path, "m", lambda images: PREDICT(images)[:0])
    with pytest.raises(InvalidInputError, match="golden cases"):
        load(tmp_path)


def test_golden_files_must_be_among_the_verified_files(tmp_path):
    golden = {"files": (), "images": "../../outside.npy"}
    published.publish(tmp_path, "m", PREDICT, golden=golden)
    with pytest.raises(InvalidInputError, match="is not among its files"):
        load(tmp_path)


def test_a_changed_file_is_refused_before_the_runtime_sees_it(tmp_path):
    published.publish(tmp_path, "m", PREDICT)
    (tmp_path / "m/1/model.onnx").write_bytes(b"other")

    def runtime(*_):
        raise AssertionError("must not be loaded")

    settings = ServingSettings(runtime="onnxruntime", repository=tmp_path, trust_repository=True)
    with pytest.raises(InvalidInputError, match="sha256"):
        Loader(ModelRepository(tmp_path), settings, runtime).load("m", 1)


def test_a_format_of_another_runtime_names_that_runtime(tmp_path):
    published.publish(tmp_path, "m", PREDICT, format_name="keras")
    with pytest.raises(WrongStateError, match="keras is served by the tensorflow runtime, this server has onnxruntime"):
        load(tmp_path)


def test_keras_needs_a_trusted_repository(tmp_path):
    published.publish(tmp_path, "m", PREDICT, format_name="keras")
    with pytest.raises(WrongStateError, match="--trust-repository"):
        load(tmp_path, runtime="tensorflow", trust_repository=False)


def test_bytes_that_are_no_onnx_are_refused_without_trust(tmp_path):
    published.publish(tmp_path, "m", PREDICT, model=b"\xff\xff\xff")
    with pytest.raises(InvalidInputError, match="is not an ONNX file"):
        load(tmp_path, trust_repository=False)


def test_an_unknown_version_lists_the_published_ones(tmp_path):
    with pytest.raises(NotFoundError, match="versions: none"):
        load(tmp_path)


def test_a_manifest_with_an_unknown_key_is_refused(tmp_path):
    published.publish(tmp_path, "m", PREDICT)
    path = tmp_path / "m/1/artifact.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "surprise": 1}))
    with pytest.raises(InvalidInputError, match="surprise"):
        load(tmp_path)


def runtime_data(root: Path, **settings) -> list[bytes | None]:
    """What the runtime is given of version 1 of `m`, beside its path."""
    given: list[bytes | None] = []

    def runtime(name, path, threads, data):
        given.append(data)
        return PREDICT, "cpu"

    of_all = ServingSettings(**{"runtime": "onnxruntime", "repository": root, **settings})
    Loader(ModelRepository(root), of_all, runtime).load("m", 1)
    return given


ONNX = b"\x0a\x01g"
"""Enough of a ModelProto for the check of trust: a field it does not know."""


@pytest.mark.parametrize("trusted", [False, True])
def test_the_runtime_gets_the_very_bytes_that_were_checked(tmp_path, monkeypatch, trusted):
    published.publish(tmp_path, "m", PREDICT, model=ONNX)
    looked_at, check = [], loading.check_onnx

    def check_and_swap(path: Path, data: bytes) -> None:
        check(path, data)
        looked_at.append(data)
        path.write_bytes(b"another model")

    monkeypatch.setattr(loading, "check_onnx", check_and_swap)
    assert runtime_data(tmp_path, trust_repository=trusted) == [ONNX]
    assert looked_at == ([] if trusted else [ONNX])


def test_an_onnx_file_is_opened_once(tmp_path):
    published.publish(tmp_path, "m", PREDICT, model=ONNX)
    opened = []
    path = str(tmp_path / "m/1/model.onnx")

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event == "open" and str(arguments[0]) == path:
            opened.append(arguments[1])

    # A hook cannot be taken away again.
    watching = True
    sys.addaudithook(note)
    try:
        runtime_data(tmp_path)
    finally:
        watching = False
    assert len(opened) == 1


def test_onnx_with_weights_in_another_file_is_left_to_the_runtime_where_it_is_trusted(tmp_path):
    golden = published.images(4, seed=9)

    def write(folder: Path) -> None:
        (folder / "model.onnx").write_bytes(ONNX)
        (folder / "model.onnx.data").write_bytes(b"weights")

    published.publish_files(tmp_path, "m", (golden, PREDICT(golden)), write, "onnx")
    assert runtime_data(tmp_path, trust_repository=True) == [None]
    assert runtime_data(tmp_path, trust_repository=False) == [ONNX]


def test_other_formats_are_read_by_their_runtime(tmp_path):
    published.publish(tmp_path, "m", PREDICT, format_name="keras")
    assert runtime_data(tmp_path, runtime="tensorflow", trust_repository=True) == [None]


def test_a_manifest_without_the_model_file_is_refused(tmp_path):
    golden = published.images(4, seed=9)
    published.publish_files(tmp_path, "m", (golden, PREDICT(golden)), lambda folder: None, "onnx")
    with pytest.raises(InvalidInputError, match=r"model\.onnx is missing, and not listed in artifact\.json"):
        load(tmp_path)


def test_a_model_on_a_gpu_is_said_to_be_there(tmp_path):
    published.publish(tmp_path, "m", PREDICT)
    settings = ServingSettings(runtime="onnxruntime", repository=tmp_path, trust_repository=True)
    for device, kind in (("cpu", pb.ModelInstanceGroup.KIND_CPU), ("cuda", pb.ModelInstanceGroup.KIND_GPU)):
        loader = Loader(ModelRepository(tmp_path), settings, lambda *_, device=device: (PREDICT, device))
        assert loader.load("m", 1).config.message.instance_group[0].kind == kind
