"""A repository behind a URL, here in memory: what is copied when, and what is refused."""

import errno
import resource
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from core.errors import (
    BakeoffError,
    ExhaustedError,
    InvalidInputError,
    MissingExtraError,
    NotFoundError,
    NotReadyError,
    WrongStateError,
)
from core.mirror import MirroredRepository, check_url, open_repository
from core.repository import ModelRepository
from tests.unit.serving import published

URL = "memory://bucket/models"


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


def test_an_empty_place_is_named_unless_it_is_awaited(remote: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    mirror = MirroredRepository(URL, tmp_path / "cache")
    mirror.refresh()
    assert mirror.absent
    assert mirror.models() == []
    mirror.require(awaited=True)
    with pytest.raises(NotFoundError, match="memory://bucket/models is empty"):
        mirror.require()


def test_what_is_away_altogether_is_no_model_and_its_copies_wait_for_it(
    mirror: MirroredRepository, remote: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    mirror.verify("m", 1)
    remote.rm("/bucket/models", recursive=True)
    mirror.refresh()
    assert (mirror.absent, mirror.models(), mirror.versions("m")) == (True, [], [])
    before = mirror.model_path("m", 1).stat().st_ino
    upload(remote, tmp_path / "origin")
    mirror.refresh("m")
    assert (mirror.absent, mirror.models()) == (False, ["m"])
    assert mirror.model_path("m", 1).stat().st_ino == before


def test_copies_of_an_emptied_place_are_gone_after_a_restart(
    mirror: MirroredRepository, remote: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    remote.rm("/bucket/models", recursive=True)
    again = MirroredRepository(URL, tmp_path / "cache")
    again.refresh()
    with pytest.raises(NotFoundError, match="no version 1 in memory://bucket/models"):
        again.verify("m", 1)


def test_one_model_can_be_looked_at_alone(
    mirror: MirroredRepository, remote: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    for name in ("m", "other"):
        published.publish(tmp_path / "origin", name, published.linear(published.weights(1)))
    upload(remote, tmp_path / "origin")
    mirror.refresh("m")
    assert (mirror.models(), mirror.versions("m")) == (["m"], [1, 2])
    mirror.refresh("../m")
    assert mirror.models() == ["m"]


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


def refusing(error: Exception) -> Callable[..., None]:
    """A method of a file system that fails."""

    def refuse(*_arguments: object, **_options: object) -> None:
        raise error

    return refuse


class NoCredentialsError(Exception):
    """As botocore names it."""


@pytest.mark.parametrize(
    ("error", "kind", "advice"),
    [
        (PermissionError("Access Denied"), WrongStateError, "Access Denied; give the account"),
        (NoCredentialsError("Unable to locate credentials"), WrongStateError, "set AWS_ACCESS_KEY_ID"),
        (RuntimeError("connection refused"), NotReadyError, "connection refused; see that it can be reached"),
        (OSError(errno.ENOSPC, "No space left on device"), ExhaustedError, "make room"),
        (FileNotFoundError("The specified bucket does not exist"), NotFoundError, "create the bucket"),
    ],
)
def test_what_a_store_refuses_is_told_with_what_to_do(
    remote: fsspec.AbstractFileSystem,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    kind: type[BakeoffError],
    advice: str,
) -> None:
    mirror = MirroredRepository(URL, tmp_path / "cache")
    with monkeypatch.context() as patched:
        patched.setattr(type(remote), "pipe_file", refusing(error))
        with pytest.raises(kind, match=rf"{URL}/other/1/\.claim cannot be written: .*{advice}"):
            published.publish(mirror, "other", published.linear(published.weights()))
    monkeypatch.setattr(type(remote), "find", refusing(error))
    with pytest.raises(kind, match=rf"{URL} cannot be listed: .*{advice}"):
        mirror.refresh()


def test_a_cache_that_cannot_be_written_is_named(remote: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotReadyError, match=r"the cache .*file/cache cannot be written"):
        MirroredRepository(URL, tmp_path / "file/cache").refresh()


def test_a_place_is_a_folder_or_a_url(tmp_path: Path) -> None:
    folder = open_repository(tmp_path, None)
    assert (folder.root, folder.place) == (tmp_path, str(tmp_path))
    assert open_repository(f"file://{tmp_path}", None).root == tmp_path
    behind = open_repository(URL, tmp_path / "cache")
    assert isinstance(behind, MirroredRepository)
    assert behind.place == URL
    assert behind.root != open_repository(URL, tmp_path / "cache", "pytorch").root
    with pytest.raises(InvalidInputError, match="needs a cache folder"):
        open_repository(URL, None)


def test_a_url_that_nothing_here_can_read_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInputError, match="Protocol not known: nowhere"):
        check_url("nowhere://bucket/models")
    monkeypatch.setattr(fsspec, "get_filesystem_class", refusing(ImportError("Install s3fs to access S3")))
    with pytest.raises(MissingExtraError, match=r"pip install 'bakeoff\[s3\]'"):
        check_url("s3://bucket/models")
