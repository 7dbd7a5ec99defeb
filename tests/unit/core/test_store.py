"""Objects appear whole or not at all, in a folder and behind a URL."""

import threading
import uuid
from pathlib import Path

import fsspec
import pytest

from core.errors import InvalidInputError, NotFoundError, WrongStateError
from core.store import MANIFEST, Store


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    url = str(tmp_path / "store") if request.param == "folder" else f"memory://{uuid.uuid4().hex}"
    return Store(url, tmp_path / "cache")


@pytest.fixture
def remote(tmp_path: Path) -> Store:
    return Store(f"memory://{uuid.uuid4().hex}", tmp_path / "cache")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    (folder / "inner").mkdir(parents=True)
    (folder / "data.json").write_text('{"a": 1}')
    (folder / "inner" / "rows.bin").write_bytes(bytes(range(256)))
    return folder


def memory() -> fsspec.AbstractFileSystem:
    return fsspec.filesystem("memory")


def test_what_was_put_comes_back_byte_for_byte(store: Store, directory: Path) -> None:
    store.put("prepared", "abc", directory)
    folder = store.path("prepared", "abc")
    assert (folder / "inner" / "rows.bin").read_bytes() == bytes(range(256))
    assert store.read_json("prepared", "abc", "data.json") == {"a": 1}
    assert [file.path for file in store.manifest("prepared", "abc").files] == ["data.json", "inner/rows.bin"]


def test_an_object_that_was_never_put_is_not_there(store: Store) -> None:
    assert not store.has("results", "abc")
    assert store.ids("results") == []
    with pytest.raises(NotFoundError, match="no object results/abc"):
        store.path("results", "abc")


def test_ids_lists_complete_objects_in_order(store: Store, directory: Path) -> None:
    for name in ("b", "a", "c"):
        store.put("results", name, directory)
    assert store.ids("results") == ["a", "b", "c"]
    assert store.ids("prepared") == []


def test_an_object_is_immutable(store: Store, directory: Path) -> None:
    store.put("results", "abc", directory)
    (directory / "data.json").write_text('{"a": 2}')
    store.put("results", "abc", directory)
    assert store.read_json("results", "abc", "data.json") == {"a": 1}


@pytest.mark.parametrize("object_id", ["", "a/b", "../x", ".hidden"])
def test_an_id_cannot_leave_its_folder(store: Store, directory: Path, object_id: str) -> None:
    with pytest.raises(InvalidInputError, match="is not valid"):
        store.put("results", object_id, directory)


def test_a_local_object_without_manifest_does_not_exist_and_is_not_passed_over(tmp_path: Path, directory: Path) -> None:
    store = Store(str(tmp_path / "store"), tmp_path / "cache")
    (tmp_path / "store" / "results" / "abc").mkdir(parents=True)
    (tmp_path / "store" / "results" / "abc" / "data.json").write_text("{")
    assert not store.has("results", "abc")
    assert store.ids("results") == []
    with pytest.raises(WrongStateError, match="in the way"):
        store.put("results", "abc", directory)


def test_nothing_is_left_when_publishing_fails_half_way(
    tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path / "store"), tmp_path / "cache")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("core.files.write_json", fail)
    with pytest.raises(OSError, match="disk full"):
        store.put("results", "abc", directory)
    assert list((tmp_path / "store" / "results").iterdir()) == []


def test_a_remote_object_is_invisible_until_its_manifest_is_written(
    remote: Store, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    upload = memory().put_file

    def spy(source: str, target: str) -> None:
        upload(source, target)
        seen.append(remote.has("results", "abc"))

    monkeypatch.setattr(memory(), "put_file", spy)
    remote.put("results", "abc", directory)
    assert seen == [False, False]
    assert remote.has("results", "abc")


def test_an_upload_that_was_broken_off_can_be_repeated(
    remote: Store, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:

        def broken(path: str, data: bytes) -> None:
            raise ConnectionError("gone")

        patched.setattr(memory(), "pipe_file", broken)
        with pytest.raises(ConnectionError):
            remote.put("results", "abc", directory)
    assert remote.ids("results") == []
    remote.put("results", "abc", directory)
    assert remote.ids("results") == ["abc"]


def test_a_damaged_copy_is_detected_and_not_kept(remote: Store, directory: Path, tmp_path: Path) -> None:
    remote.put("results", "abc", directory)
    memory().pipe_file(f"{remote._root}/results/abc/inner/rows.bin", b"other")
    with pytest.raises(InvalidInputError, match=r"inner/rows\.bin .* has sha256"):
        remote.path("results", "abc")
    assert list((tmp_path / "cache" / "results").iterdir()) == []


def test_a_damaged_manifest_is_named(remote: Store, directory: Path) -> None:
    remote.put("results", "abc", directory)
    memory().pipe_file(f"{remote._root}/results/abc/{MANIFEST}", b'{"files": []}')
    with pytest.raises(InvalidInputError, match=r"results/abc/manifest\.json is not valid"):
        remote.path("results", "abc")


def test_a_remote_object_is_copied_once(remote: Store, directory: Path) -> None:
    remote.put("results", "abc", directory)
    first = remote.path("results", "abc")
    memory().rm(f"{remote._root}/results/abc/data.json")
    assert remote.path("results", "abc") == first
    assert (first / "data.json").is_file()


def test_many_writers_of_one_object_leave_one_whole_object(tmp_path: Path, directory: Path) -> None:
    store = Store(str(tmp_path / "store"), tmp_path / "cache")
    writers = [threading.Thread(target=store.put, args=("results", "abc", directory)) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [p.name for p in (tmp_path / "store" / "results").iterdir()] == ["abc"]
    assert sorted(p.name for p in store.path("results", "abc").iterdir()) == ["data.json", "inner", MANIFEST]


def test_only_a_local_store_has_a_root(tmp_path: Path, remote: Store) -> None:
    assert Store(str(tmp_path), tmp_path).local_root == tmp_path
    assert Store(f"file://{tmp_path}", tmp_path).local_root == tmp_path
    assert remote.local_root is None
