"""The store: what crosses services, as immutable objects in a folder or behind an fsspec URL.

An object is a folder `<kind>/<id>` whose `manifest.json` (names, sizes, sha256 of its files) is written last: without a
valid manifest it does not exist. In a local folder the finished object also appears by one rename.
"""

import json
import shutil
from pathlib import Path
from typing import Any, Literal, get_args

import fsspec
import pydantic

from core import files
from core.errors import InvalidInputError, NotFoundError, WrongStateError
from core.schemas.base import Schema, parse_json

Kind = Literal["prepared", "results", "sources", "experiments"]
MANIFEST = "manifest.json"


class ObjectFile(Schema):
    """One file of an object."""

    path: str
    sha256: str
    size_bytes: int


class ObjectManifest(Schema):
    """What an object consists of."""

    schema_version: Literal[1] = 1
    files: tuple[ObjectFile, ...] = pydantic.Field(min_length=1)


class Store:
    """Objects below `url`; remote ones are copied to `cache` before anybody reads them.

    Args:
        url: a folder, or anything fsspec understands (`s3://bucket/prefix`, `memory://x`).
        cache: where copies of remote objects go; not used for a local store.
    """

    def __init__(self, url: str, cache: Path) -> None:
        self.url, self.cache = url, cache
        self._fs, root = fsspec.core.url_to_fs(url)
        self._root = str(root).rstrip("/")
        self._local = "file" in _protocols(self._fs)

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    @property
    def local_root(self) -> Path | None:
        """The folder of a local store; None for a remote one."""
        return Path(self._root) if self._local else None

    def has(self, kind: Kind, object_id: str) -> bool:
        """True once the object is complete."""
        return bool(self._fs.exists(self._remote(kind, object_id, MANIFEST)))

    def ids(self, kind: Kind) -> list[str]:
        """Ids of the complete objects of a kind, sorted."""
        folder = f"{self._root}/{kind}"
        if not self._fs.exists(folder):
            return []
        names = sorted(
            str(path).rstrip("/").rsplit("/", 1)[-1] for path in self._fs.ls(folder, detail=False, refresh=True)
        )
        return [name for name in names if not name.startswith(".") and self.has(kind, name)]

    def put(self, kind: Kind, object_id: str, directory: Path) -> None:
        """Publishes the files of `directory` as an object. An object that already exists stays as it is.

        Raises:
            WrongStateError: something else lies in the object's place.
        """
        if self.has(kind, object_id):
            return
        manifest = _describe(directory)
        if self._local:
            with files.staged_directory(Path(self._root) / kind / object_id) as staging:
                shutil.copytree(directory, staging, dirs_exist_ok=True)
                files.write_json(staging / MANIFEST, manifest)
            if not self.has(kind, object_id):
                raise WrongStateError(
                    f"{self._root}/{kind}/{object_id} is in the way, a folder without {MANIFEST}; remove it and repeat"
                )
            return
        for file in manifest.files:
            self._fs.put_file(str(directory / file.path), self._remote(kind, object_id, file.path))
        self._fs.pipe_file(self._remote(kind, object_id, MANIFEST), manifest.model_dump_json().encode())

    def path(self, kind: Kind, object_id: str) -> Path:
        """Local folder with the object's files, copied and verified first where the store is remote.

        Raises:
            NotFoundError: no such object.
            InvalidInputError: a copied file does not match its sha256.
        """
        if not self.has(kind, object_id):
            raise NotFoundError(f"no object {kind}/{object_id} in {self.url}")
        if self._local:
            return Path(self._root) / kind / object_id
        target = self.cache / kind / object_id
        if target.is_dir():
            return target
        manifest = self.manifest(kind, object_id)
        with files.staged_directory(target) as staging:
            for file in manifest.files:
                copy = staging / file.path
                copy.parent.mkdir(parents=True, exist_ok=True)
                self._fs.get_file(self._remote(kind, object_id, file.path), str(copy))
                if (actual := files.sha256_file(copy)) != file.sha256:
                    raise InvalidInputError(
                        f"{kind}/{object_id}/{file.path} in {self.url} has sha256 {actual[:12]}…, "
                        f"expected {file.sha256[:12]}…: delete the object and run the step again"
                    )
        return target

    def manifest(self, kind: Kind, object_id: str) -> ObjectManifest:
        """The object's manifest."""
        data = self._fs.cat_file(self._remote(kind, object_id, MANIFEST))
        return parse_json(ObjectManifest, data, f"{self.url}/{kind}/{object_id}/{MANIFEST}")

    def read_json(self, kind: Kind, object_id: str, name: str) -> Any:
        """Parses one JSON file of an object."""
        return json.loads((self.path(kind, object_id) / name).read_bytes())

    def sweep(self) -> None:
        """Removes what writers that were killed left in a local store and in the cache of a remote one.

        What is left of a remote object has no manifest, so it does not exist; putting the object again overwrites it.
        """
        root = Path(self._root) if self._local else self.cache
        for kind in get_args(Kind):
            files.sweep(root / kind)

    def _remote(self, kind: Kind, object_id: str, path: str) -> str:
        if not object_id or "/" in object_id or object_id.startswith("."):
            raise InvalidInputError(f"object id {object_id!r} is not valid: expected a name without '/' or leading '.'")
        return f"{self._root}/{kind}/{object_id}/{path}"


def _protocols(filesystem: Any) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _describe(directory: Path) -> ObjectManifest:
    return ObjectManifest(
        files=tuple(
            ObjectFile(
                path=p.as_posix(), sha256=files.sha256_file(directory / p), size_bytes=(directory / p).stat().st_size
            )
            for p in files.files_below(directory)
        )
    )
