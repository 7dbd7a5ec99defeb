"""Versions appear whole, are numbered upwards, and say when they were changed."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from inference import model_config_pb2

from core.errors import InvalidInputError, NotFoundError
from core.formats import FORMATS, MAX_BATCH, get_format
from core.repository import ModelRepository, config_pbtxt
from core.schemas.artifact import Artifact, ArtifactFile, Golden
from core.schemas.data import ImageSpec
from core.schemas.metrics import EpochMetrics
from core.schemas.recipe import Recipe

CLASSES = ("cat", 'a "dog"', "ß\\鳥")


def artifact(version: int = 1, files: tuple[ArtifactFile, ...] = (), **changes: Any) -> Artifact:
    values: dict[str, Any] = {
        "name": "m", "version": version, "format": "onnx", "framework": "keras", "libraries": {"keras": "3"},
        "experiment": "e", "arm": "a", "seed": 0, "run_id": "train-1", "architecture": "mlp", "parameters": 1,
        "trainable_parameters": 1, "classes": CLASSES, "preprocess": ImageSpec(height=28, width=20, color="grey"),
        "data_fingerprint": "0" * 64, "recipe": Recipe(mode="matched", epochs=1),
        "metrics": EpochMetrics(epoch=1, train_loss=1, train_accuracy=1, validation_loss=1, validation_accuracy=1,
                                train_seconds=1, validation_seconds=1),
        "golden": Golden(files=()), "files": files,
    }  # fmt: skip
    return Artifact(**{**values, **changes})


def describe(run_id: str = "train-1") -> Callable[[int, tuple[ArtifactFile, ...]], Artifact]:
    return lambda version, files: artifact(version, files, run_id=run_id)


def publish(repository: ModelRepository, content: str = "weights", run_id: str = "train-1") -> Artifact:
    with repository.staging() as staged:
        (staged / "model.onnx").write_text(content)
        (staged / "golden").mkdir()
        (staged / "golden" / "0.png").write_text("picture")
        return repository.publish(staged, describe(run_id), "m")


@pytest.fixture
def repository(tmp_path: Path) -> ModelRepository:
    return ModelRepository(tmp_path / "models")


def test_an_empty_repository_has_no_models(repository: ModelRepository) -> None:
    assert repository.models() == []
    assert repository.versions("m") == []
    with pytest.raises(NotFoundError, match="no model 'm'"):
        repository.latest("m")


def test_a_published_model_is_found_read_and_verified(repository: ModelRepository) -> None:
    published = publish(repository)
    assert repository.models() == ["m"]
    assert repository.artifact("m", 1) == published == repository.verify("m", 1)
    assert repository.model_path("m", 1).read_text() == "weights"
    assert [file.path for file in published.files] == ["golden/0.png", "model.onnx"]
    assert (repository.root / "m" / "labels.txt").read_text(encoding="utf-8").split("\n") == [*CLASSES, ""]


def test_versions_count_upwards_as_numbers(repository: ModelRepository) -> None:
    assert [publish(repository).version for _ in range(11)] == list(range(1, 12))
    assert repository.versions("m") == list(range(1, 12))
    assert repository.latest("m") == 11


def test_a_half_written_version_is_ignored_and_its_number_left_alone(repository: ModelRepository) -> None:
    publish(repository)
    (repository.root / "m" / "2").mkdir()
    (repository.root / "m" / "2" / "model.onnx").write_text("half")
    assert repository.versions("m") == [1]
    with pytest.raises(NotFoundError, match=r"no version 2 .*\(versions: 1\)"):
        repository.path("m", 2)
    assert publish(repository).version == 3


@pytest.mark.parametrize("name", ["01", "x", "-1", "0", "٣", ".1"])
def test_other_folders_are_no_versions(repository: ModelRepository, name: str) -> None:
    publish(repository)
    (repository.root / "m" / name).mkdir()
    (repository.root / "m" / name / "artifact.json").write_text("{}")
    assert repository.versions("m") == [1]


def test_an_export_that_fails_leaves_nothing(repository: ModelRepository) -> None:
    def fail() -> None:
        with repository.staging() as staged:
            (staged / "model.onnx").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(repository.root.iterdir()) == []
    assert repository.models() == []


def test_a_model_appears_with_its_first_version_or_not_at_all(
    repository: ModelRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    rename = Path.rename

    def watching(self: Path, target: Path) -> Path:
        seen.append(
            sorted(p.name for p in (repository.root / "m").iterdir()) if (repository.root / "m").exists() else []
        )
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", watching)
    publish(repository)
    assert len(seen) == 2
    assert seen == [[], []]
    assert sorted(p.name for p in (repository.root / "m").iterdir()) == ["1", "config.pbtxt", "labels.txt"]


def test_a_sweep_keeps_what_is_published_and_what_is_being_published(repository: ModelRepository) -> None:
    publish(repository)
    with repository.staging() as staged:
        (repository.root / f".staging.{'0' * 32}").mkdir()
        (repository.root / f".model.{'0' * 32}").mkdir()
        repository.sweep()
        assert sorted(p.name for p in repository.root.iterdir()) == sorted([staged.name, "m"])
    assert repository.verify("m", 1)


def test_publishers_of_one_model_at_the_same_time_get_a_version_each(repository: ModelRepository) -> None:
    threads = [threading.Thread(target=publish, args=(repository, str(i), f"run-{i}")) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert repository.versions("m") == list(range(1, 9))
    assert {repository.verify("m", v).run_id for v in repository.versions("m")} == {f"run-{i}" for i in range(8)}
    assert [p.name for p in repository.root.iterdir()] == ["m"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "model.onnx").write_text("other"), r"model\.onnx has sha256 .* expected"),
        (lambda folder: (folder / "model.onnx").unlink(), r"model\.onnx is missing"),
        (lambda folder: (folder / "extra.bin").write_text("x"), r"extra\.bin is not listed"),
    ],
)
def test_a_changed_version_does_not_verify(
    repository: ModelRepository, damage: Callable[[Path], object], message: str
) -> None:
    publish(repository)
    damage(repository.path("m", 1))
    with pytest.raises(InvalidInputError, match=message):
        repository.verify("m", 1)


def test_a_file_is_given_as_it_was_compared(repository: ModelRepository) -> None:
    artifact = publish(repository)
    path = repository.path("m", 1) / "model.onnx"
    assert repository.read(artifact, "model.onnx") == path.read_bytes()
    assert repository.read(artifact) is None
    with pytest.raises(InvalidInputError, match=r"weights\.bin is missing, and not listed"):
        repository.read(artifact, "weights.bin")
    path.write_text("other")
    with pytest.raises(InvalidInputError, match=r"model\.onnx has sha256 .* expected"):
        repository.read(artifact, "model.onnx")


def test_a_damaged_manifest_is_named(repository: ModelRepository) -> None:
    publish(repository)
    (repository.path("m", 1) / "artifact.json").write_text("{")
    with pytest.raises(InvalidInputError, match=r"artifact\.json is not valid"):
        repository.artifact("m", 1)


def test_the_version_an_earlier_attempt_published_is_found(repository: ModelRepository) -> None:
    publish(repository, run_id="train-1")
    publish(repository, run_id="train-2")
    assert repository.version_of_run("m", "train-2") == 2
    assert repository.version_of_run("m", "train-3") is None


@pytest.mark.parametrize("name", FORMATS)
def test_config_is_what_triton_reads(name: str) -> None:
    config = text_format.Parse(config_pbtxt(artifact(format=name)), model_config_pb2.ModelConfig())
    assert config.name == "m"
    assert config.max_batch_size == MAX_BATCH
    assert (config.platform or config.backend) in get_format(name).triton
    assert [(i.name, i.data_type, list(i.dims)) for i in config.input] == [
        ("image", model_config_pb2.TYPE_UINT8, [28, 20, 1])
    ]
    assert [(o.name, o.data_type, list(o.dims), o.label_filename) for o in config.output] == [
        ("probabilities", model_config_pb2.TYPE_FP32, [3], "labels.txt")
    ]
    assert config.HasField("dynamic_batching")


def test_config_parameters_carry_the_preprocessing() -> None:
    published = artifact()
    config = text_format.Parse(config_pbtxt(published), model_config_pb2.ModelConfig())
    text = config.parameters["bakeoff.preprocess"].string_value
    assert ImageSpec.model_validate_json(text) == published.preprocess


def test_the_digest_depends_on_the_files_and_on_nothing_else() -> None:
    file = ArtifactFile(path="model.onnx", sha256="a" * 64, size_bytes=3)
    golden = ArtifactFile(path="golden/0.png", sha256="b" * 64, size_bytes=5)
    one = artifact(1, (file, golden))
    assert one.digest == artifact(2, (file, golden), run_id="other").digest
    assert one.digest != artifact(1, (file.model_copy(update={"sha256": "c" * 64}), golden)).digest
    assert one.size_bytes == 3
