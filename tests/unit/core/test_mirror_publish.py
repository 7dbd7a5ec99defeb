"""Publishing behind a URL, here in memory: numbers, order, what a killed publisher leaves, promotion and rollback."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pytest

from core.errors import InvalidInputError
from core.files import files_below
from core.mirror import MirroredRepository
from core.promotion import Evidence, promote, rollback
from core.repository import ModelRepository
from tests.unit.serving import published

URL = "memory://bucket/models"
PLACE = "/bucket/models"


class Killed(BaseException):
    """As SIGKILL: nothing is caught."""


@pytest.fixture
def repository(remote: fsspec.AbstractFileSystem, tmp_path: Path) -> MirroredRepository:
    return MirroredRepository(URL, tmp_path / "cache")


def publish(repository: ModelRepository, seed: int = 0, **changes: Any) -> int:
    model = f"model {seed}".encode()
    return published.publish(repository, "m", published.linear(published.weights(seed)), model, **changes).version


def names(remote: fsspec.AbstractFileSystem, below: str = "m") -> list[str]:
    return sorted(path.removeprefix(f"{PLACE}/{below}/") for path in remote.find(f"{PLACE}/{below}"))


def test_what_is_published_is_found_by_readers_as_in_a_folder(
    repository: MirroredRepository, remote: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    repository.refresh()
    assert repository.absent
    assert publish(repository) == 1
    folder = ModelRepository(tmp_path / "folder")
    publish(folder)
    reader = MirroredRepository(URL, tmp_path / "reader")
    reader.refresh()
    assert reader.models() == ["m"]
    assert reader.verify("m", 1) == folder.verify("m", 1)
    assert {*names(remote)} == {path.as_posix() for path in files_below(folder.root / "m")} | {"1/.claim"}
    for text in ("config.pbtxt", "labels.txt"):
        assert remote.cat_file(f"{PLACE}/m/{text}") == (folder.root / "m" / text).read_bytes()
    assert not repository.absent
    assert (publish(repository, 1), repository.versions("m")) == (2, [1, 2])


def test_the_manifest_comes_last(
    repository: MirroredRepository, remote: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    for method in ("pipe_file", "put_file"):
        real = getattr(type(remote), method)

        def noted(self: object, first: str, second: object, *more: object, real: Any = real, **options: Any) -> object:
            written.append(str(second if real.__name__ == "put_file" else first))
            return real(self, first, second, *more, **options)

        noted.__name__ = method
        monkeypatch.setattr(type(remote), method, noted)
    publish(repository)
    ours = [path for path in written if "/m/" in path]
    assert ours[0].endswith("/m/1/.claim")
    assert ours[-1].endswith("/m/1/artifact.json")


def test_publishers_at_the_same_time_get_a_version_each(
    remote: fsspec.AbstractFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Object stores create in one step; the memory file system looks and then writes.
    real, one_step = type(remote).pipe_file, threading.Lock()

    def create(self: object, *given: Any, **options: Any) -> object:
        with one_step:
            return real(self, *given, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(type(remote), "pipe_file", create)
    repositories = [MirroredRepository(URL, tmp_path / f"cache-{number}") for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        versions = [*pool.map(publish, repositories, range(6))]
    assert sorted(versions) == [1, 2, 3, 4, 5, 6]
    reader = MirroredRepository(URL, tmp_path / "reader")
    reader.refresh()
    for seed, version in enumerate(versions):
        reader.verify("m", version)
        assert reader.model_path("m", version).read_bytes() == f"model {seed}".encode()


def test_publishers_that_saw_the_same_numbers_do_not_share_one(
    remote: fsspec.AbstractFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (MirroredRepository(URL, tmp_path / name) for name in ("one", "two"))
    real, taken = type(remote).pipe_file, []

    def late(self: object, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> object:
        if mode == "create" and not taken:
            taken.append(path)
            assert publish(second, 1) == 1
        return real(self, path, value, mode=mode, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(type(remote), "pipe_file", late)
    assert publish(first) == 2
    first.refresh()
    assert first.verify("m", 1) != first.verify("m", 2)


def test_a_server_that_creates_twice_at_the_same_moment_gives_the_number_to_one(
    remote: fsspec.AbstractFileSystem, repository: MirroredRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, once = type(remote).pipe_file, []

    def careless(self: Any, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> object:
        answer = real(self, path, value, mode=mode, **options)
        if mode == "create" and not once:
            once.append(path)
            real(self, path, b"somebody else")
        return answer

    monkeypatch.setattr(type(remote), "pipe_file", careless)
    assert publish(repository) == 2
    assert remote.cat_file(f"{PLACE}/m/1/.claim") == b"somebody else"


def test_a_folder_that_was_copied_there_keeps_its_number(
    repository: MirroredRepository, remote: fsspec.AbstractFileSystem
) -> None:
    remote.pipe_file(f"{PLACE}/m/4/model.onnx", b"half")
    assert publish(repository) == 5
    assert remote.cat_file(f"{PLACE}/m/4/model.onnx") == b"half"


@pytest.mark.parametrize("last", ["model.onnx", "config.pbtxt", "labels.txt", "artifact.json"])
def test_a_publisher_that_is_killed_leaves_no_version_and_its_number_is_not_given_again(
    repository: MirroredRepository,
    remote: fsspec.AbstractFileSystem,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    last: str,
) -> None:
    with monkeypatch.context() as patched:
        for method, position in (("pipe_file", 0), ("put_file", 1)):
            real = getattr(type(remote), method)

            def dies(self: object, *given: Any, real: Any = real, position: int = position, **options: Any) -> object:
                if str(given[position]).endswith(f"/{last}"):
                    raise Killed
                return real(self, *given, **options)

            patched.setattr(type(remote), method, dies)
        with pytest.raises(Killed):
            publish(repository)
    reader = MirroredRepository(URL, tmp_path / "reader")
    reader.refresh()
    assert reader.models() == []
    assert publish(MirroredRepository(URL, tmp_path / "other"), 1) == 2
    reader.refresh()
    assert reader.versions("m") == [2]
    reader.verify("m", 2)


def test_a_run_that_is_repeated_finds_what_it_published(repository: MirroredRepository, tmp_path: Path) -> None:
    publish(repository, run_id="train-1")
    again = MirroredRepository(URL, tmp_path / "again")
    assert again.version_of_run("m", "train-1") == 1
    assert again.version_of_run("m", "train-2") is None


def test_an_edited_configuration_stays_while_the_signature_does(
    repository: MirroredRepository, remote: fsspec.AbstractFileSystem
) -> None:
    publish(repository)
    text = remote.cat_file(f"{PLACE}/m/config.pbtxt").replace(b"max_batch_size: ", b"max_batch_size: 1")
    remote.pipe_file(f"{PLACE}/m/config.pbtxt", text)
    publish(repository, 1)
    assert remote.cat_file(f"{PLACE}/m/config.pbtxt") == text
    publish(repository, 2, classes=("a", "b", "c"))
    assert remote.cat_file(f"{PLACE}/m/config.pbtxt") != text
    assert remote.cat_file(f"{PLACE}/m/labels.txt") == b"a\nb\nc\n"


def test_copies_are_no_publication_and_staging_leaves_nothing(
    repository: MirroredRepository, remote: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    publish(repository)
    assert not list((tmp_path / "cache").glob(".*"))
    repository.sweep()
    assert repository.verify("m", 1).version == 1


def test_promotion_and_rollback_from_bucket_to_bucket(remote: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    candidates = MirroredRepository(URL, tmp_path / "cache")
    production = MirroredRepository("memory://bucket/production", tmp_path / "production")
    publish(candidates)
    first = promote(candidates, "m", None, production, "digits", evidence=Evidence(card="# first"))
    assert (first.artifact.name, first.artifact.version, first.published) == ("digits", 1, True)
    assert not promote(candidates, "m", None, production, "digits").published
    publish(candidates, 1)
    assert promote(candidates, "m", None, production, "digits").artifact.version == 2

    # By somebody else, who has no copies.
    elsewhere = MirroredRepository("memory://bucket/production", tmp_path / "elsewhere")
    back = rollback(elsewhere, "digits").artifact
    assert back.origin is not None
    assert (back.version, back.origin.action, back.origin.version) == (3, "rollback", 1)
    assert elsewhere.verify("digits", 3).digest == first.artifact.digest
    assert elsewhere.model_path("digits", 3).read_bytes() == b"model 0"
    assert remote.cat_file("/bucket/production/digits/3/card.md") == b"# first"
    assert "digits/2/card.md" not in "".join(remote.find("/bucket/production"))


def test_between_a_folder_and_a_bucket(remote: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    folder, behind = ModelRepository(tmp_path / "models"), MirroredRepository(URL, tmp_path / "cache")
    publish(folder)
    assert promote(folder, "m", None, behind, "m").artifact.version == 1
    back = ModelRepository(tmp_path / "production")
    assert promote(MirroredRepository(URL, tmp_path / "other"), "m", 1, back, "m").artifact.version == 1
    assert back.verify("m", 1).digest == folder.verify("m", 1).digest
    assert not (back.path("m", 1) / ".claim").exists()


def test_a_damaged_candidate_is_not_promoted(
    repository: MirroredRepository, remote: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    publish(repository)
    remote.pipe_file(f"{PLACE}/m/1/model.onnx", b"swapped")
    production = MirroredRepository("memory://bucket/production", tmp_path / "production")
    with pytest.raises(InvalidInputError, match="changed or damaged"):
        promote(repository, "m", None, production, "digits")
    assert remote.find("/bucket/production") == []
