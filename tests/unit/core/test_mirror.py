"""A repository behind a URL, here in memory: what is copied when, and what is refused."""

import resource
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from core.errors import ExhaustedError, InvalidInputError, NotFoundError, NotReadyError
from core.mirror import MirroredRepository
from core.repository import ModelRepository
from tests.unit.serving import published

URL = "memory://bucket/models"


@pytest.fixture
def remote() -> Iterator[fsspec.AbstractFileSystem]:
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    yield filesystem
    filesystem.store.clear()


def upload(filesystem: fsspec.AbstractFileSystem, folder: Path) -> None:
    for path in sorted(folder.rglob("*"), key=lambda path: path.name == "artifact.json"):
        if path.is_file():
            filesystem.pipe_file(f"/bucket/models/{path.relative_to(folder).as_posix()}", path.read_bytes())


@pytest.fixture
def mirror(remote: fsspec.AbstractFileSystem, tmp_path: Path) -> MirroredRepository:
    published.publish(tmp_path / "origin", "m", published.linear(published.weights()))
    upload(remote, tmp_path / "origin")
    mirror = MirroredRepository(URL, tmp_path / "cache")
    mirror.refresh()
    return mirror


def test_looking_copies_manifests_and_loading_copies_the_files(mirror: MirroredRepository, tmp_path: Path) -> None:
    assert (mirror.models(), mirror.versions("m")) == (["m"], [1])
    assert not mirror.model_path("m", 1).exists()
    assert mirror.verify("m", 1) == ModelRepository(tmp_path / "origin").verify("m", 1)
    assert mirror.model_path("m", 1).read_bytes() == b"model"


def test_new_versions_come_and_what_is_gone_goes(
    mirror: MirroredRepository, remote: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    mirror.verify("m", 1)
    published.publish(tmp_path / "origin", "m", published.linear(published.weights(1)), b"other")
    upload(remote, tmp_path / "origin")
    mirror.refresh()
    assert mirror.versions("m") == [1, 2]
    mirror.refresh()
    remote.rm("/bucket/models/m/1", recursive=True)
    mirror.refresh()
    assert mirror.versions("m") == [2]


def test_nothing_is_copied_twice(mirror: MirroredRepository, remote: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    mirror.verify("m", 1)
    before = {path: path.stat().st_ino for path in (tmp_path / "cache/m").rglob("*")}
    mirror.refresh()
    mirror.verify("m", 1)
    assert {path: path.stat().st_ino for path in (tmp_path / "cache/m").rglob("*")} == before


def test_a_swapped_a_truncated_and_a_missing_file_are_refused_and_leave_nothing(
    mirror: MirroredRepository, remote: fsspec.AbstractFileSystem
) -> None:
    for content in (b"swapp", b"mod", None):
        remote.rm("/bucket/models/m/1/model.onnx")
        if content is not None:
            remote.pipe_file("/bucket/models/m/1/model.onnx", content)
        with pytest.raises(InvalidInputError, match=r"models/m/1/model\.onnx (has sha256|is missing)"):
            mirror.verify("m", 1)
        assert not mirror.model_path("m", 1).exists()
        remote.pipe_file("/bucket/models/m/1/model.onnx", b"model")
    mirror.verify("m", 1)


def test_a_damaged_copy_is_fetched_again(mirror: MirroredRepository) -> None:
    mirror.verify("m", 1)
    mirror.model_path("m", 1).write_bytes(b"damaged")
    (mirror.path("m", 1) / "stranger").write_bytes(b"x")
    mirror.verify("m", 1)
    assert mirror.model_path("m", 1).read_bytes() == b"model"


def test_a_manifest_cannot_write_outside_its_cache(
    mirror: MirroredRepository, remote: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    text = remote.cat_file("/bucket/models/m/1/artifact.json").replace(b'"model.onnx"', b'"../../../stolen"')
    remote.pipe_file("/bucket/models/m/1/artifact.json", text)
    remote.pipe_file("/bucket/stolen", b"model")
    mirror.refresh()
    with pytest.raises(InvalidInputError, match="points out of its model"):
        mirror.verify("m", 1)
    assert not (tmp_path / "stolen").exists()


def test_a_full_disk_is_told_and_the_next_attempt_goes_on(remote: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    published.publish(tmp_path / "origin", "m", published.linear(published.weights()), bytes(1 << 22))
    upload(remote, tmp_path / "origin")
    mirror = MirroredRepository(URL, tmp_path / "cache")
    mirror.refresh()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        with pytest.raises(ExhaustedError, match=r"model\.onnx cannot be copied to .* make room"):
            mirror.verify("m", 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((tmp_path / "cache").glob(".*"))
    mirror.verify("m", 1)


def test_an_empty_place_is_named(remote: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="memory://bucket/models is empty"):
        MirroredRepository(URL, tmp_path / "cache").refresh()


def test_a_store_that_is_away_may_be_back_later(
    mirror: MirroredRepository, remote: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("connection refused")

    monkeypatch.setattr(type(remote), "find", away)
    with pytest.raises(NotReadyError, match=r"memory://bucket/models cannot be listed: connection refused"):
        mirror.refresh()
    monkeypatch.setattr(type(remote), "get_file", away)
    with pytest.raises(NotReadyError, match=r"memory://bucket/models/m/1/.* cannot be copied to .*connection refused"):
        mirror.verify("m", 1)


def test_a_name_that_leaves_the_cache_is_no_model_and_nothing_is_deleted(
    mirror: MirroredRepository, tmp_path: Path
) -> None:
    published.publish(tmp_path / "elsewhere", "m", published.linear(published.weights()))
    note = tmp_path / "elsewhere/m/1/notes.txt"
    note.write_text("mine")
    for name in ("../elsewhere/m", str(tmp_path / "elsewhere/m")):
        assert mirror.versions(name) == []
        with pytest.raises(NotFoundError):
            mirror.verify(name, 1)
    assert note.read_text() == "mine"
