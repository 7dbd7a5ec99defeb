"""A model repository behind an fsspec URL: manifests are copied when somebody looks, files on loading.

A version is published there in three steps, since nothing can be renamed: its number is claimed by creating an object
that must not exist yet, its files are uploaded, and its `artifact.json` comes last: without it the version does not
exist.
"""

import hashlib
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from core import files
from core.errors import BakeoffError, InvalidInputError, MissingExtraError, NotFoundError, NotReadyError
from core.remote import is_taken, meaning
from core.repository import CARD, MANIFEST, ModelRepository, config_pbtxt, list_files
from core.schemas.artifact import Artifact, ArtifactFile
from core.schemas.base import NAME

SMALL = re.compile(rf"[^./][^/]*/(config\.pbtxt|labels\.txt|[1-9][0-9]*/({MANIFEST}|{re.escape(CARD)}))")
"""Files that are copied at once, by their path in the repository."""
CLAIM = ".claim"
"""Whoever creates this object in a version's folder, and nobody else, publishes that version. It stays there."""
S3 = ("s3", "s3a")


def open_repository(place: str | Path, cache: Path | None, reader: str = "") -> ModelRepository:
    """The model repository at a place; nothing is looked at yet.

    Args:
        place: a folder, or anything fsspec understands (`s3://bucket/models`); credentials and endpoints come from its
            environment.
        cache: folder for copies of what is behind a URL; a folder needs none.
        reader: processes with the same name share copies.

    Raises:
        MissingExtraError, InvalidInputError: as `check_url`, or a URL without a cache.
    """
    url = str(place)
    if "://" not in url:
        return ModelRepository(Path(url))
    check_url(url)
    if isinstance(fsspec.core.url_to_fs(url)[0], LocalFileSystem):
        return ModelRepository(Path(fsspec.core.url_to_fs(url)[1]))
    if cache is None:
        raise InvalidInputError(f"model repository {url} is copied before it is read, which needs a cache folder")
    # Servers beside each other may share a cache, but not what they copy at different times.
    return MirroredRepository(url, cache / "repositories" / hashlib.sha256(f"{url} {reader}".encode()).hexdigest()[:16])


def check_url(url: str) -> None:
    """Whether a library that reads and writes such URLs is here.

    Raises:
        MissingExtraError: it belongs to an extra of this project.
        InvalidInputError: nothing here knows the URL's protocol.
    """
    scheme = url.partition("://")[0]
    try:
        fsspec.get_filesystem_class(scheme)
    except (ImportError, ValueError) as error:
        if scheme in S3:
            raise MissingExtraError(f"s3fs, which {url} needs,", "s3") from error
        raise InvalidInputError(f"{error}; name a folder, or a URL that fsspec can open here") from error


class MirroredRepository(ModelRepository):
    """Reads models below `url` through copies in `cache`, and publishes there.

    `refresh` looks; what other methods tell of models and versions is as of the last look.

    Args:
        url: anything fsspec understands.
        cache: folder of copies. Processes may share it; those that look at different times should not.
    """

    def __init__(self, url: str, cache: Path) -> None:
        super().__init__(cache)
        self.url = url
        self._fs, root = fsspec.core.url_to_fs(url)
        self._remote = str(root).rstrip("/")
        self._seen: dict[str, str] = {}
        self._absent = False

    @property
    def place(self) -> str:
        """The URL."""
        return self.url

    @property
    def absent(self) -> bool:
        """Nothing was there at the last look; the first model published there makes it."""
        return self._absent

    def require(self, awaited: bool = False) -> None:
        """Raises NotFoundError where nothing is at the URL, unless it is `awaited`."""
        if self._absent and not awaited:
            raise NotFoundError(f"model repository {self.url} is empty; publish a model there, or name another")

    def refresh(self, name: str | None = None) -> None:
        """Takes up manifests and configurations that are new or changed, and forgets what is gone.

        Args:
            name: looks at this model alone.

        Raises:
            NotFoundError: there is no such bucket.
            WrongStateError: credentials are missing, or may not read there.
            NotReadyError: it cannot be reached, or the cache cannot be written.
            ExhaustedError: the cache has no room.
        """
        if name is not None and not NAME.match(name):
            return
        # Listed and copied in one go: with an older list another process' new versions would be taken for gone ones.
        with self._alone():
            there = self._list(f"/{name}" if name else "")
            found = {path: _stamp(info) for path, info in there.items() if SMALL.fullmatch(path)}
            if there or name is None:
                self._absent = not there
            for path, stamp in found.items():
                if self._seen.get(path) != stamp or not (self.root / path).is_file():
                    self._copy(path)
                    self._seen[path] = stamp
            # What was here and is away altogether may be back soon.
            if there or not self._seen:
                self._forget(name or "*", found)

    def _forget(self, names: str, found: dict[str, str]) -> None:
        for manifest in [*self.root.glob(f"{names}/*/{MANIFEST}")]:
            if manifest.relative_to(self.root).as_posix() not in found:
                shutil.rmtree(manifest.parent, ignore_errors=True)
        for config in [*self.root.glob(f"{names}/config.pbtxt")]:
            if config.relative_to(self.root).as_posix() not in found:
                config.unlink()

    def _numbers(self, name: str) -> list[int]:
        return [] if self._absent else super()._numbers(name)

    def fetch(self, name: str, version: int) -> None:
        """Copies what is missing or differs, each file under its name only when its sha256 is right.

        Raises:
            InvalidInputError: a file at the URL is missing or does not match its manifest.
            WrongStateError, NotReadyError, ExhaustedError: as `refresh`.
        """
        folder, artifact = self.path(name, version), self.artifact(name, version)
        for file in artifact.files:
            target = folder / file.path
            if not target.is_file() or files.sha256_file(target) != file.sha256:
                self._copy(f"{name}/{version}/{file.path}", file)
        listed = {file.path for file in artifact.files} | {MANIFEST, CARD}
        for path in files.files_below(folder):
            if path.as_posix() not in listed:
                (folder / path).unlink()

    def version_of_run(self, name: str, run_id: str) -> int | None:
        """The version an earlier attempt of the same run published, if any, looked for now. Raises as `refresh`."""
        self.refresh(name)
        return super().version_of_run(name, run_id)

    def publish(
        self, staged: Path, describe: Callable[[int, tuple[ArtifactFile, ...]], Artifact], name: str
    ) -> Artifact:
        """Uploads the content of `staged` as the next version of `name`; `staged` stays as it is.

        A publisher that is killed, or refused by `describe`, leaves a version without a manifest, which does not exist
        for anybody; its number is not given to another.

        Raises:
            NotFoundError, WrongStateError, NotReadyError: as `refresh`, here for writing.
        """
        listed = list_files(staged)
        version = self._claim(name)
        artifact = describe(version, listed)
        for path in files.files_below(staged):
            if path.as_posix() != MANIFEST:
                with self._writing(target := f"{name}/{version}/{path.as_posix()}"):
                    self._fs.put_file(str(staged / path), f"{self._remote}/{target}")
        # Somebody may have edited it during the upload.
        self.refresh(name)
        if not self._keeps_config(artifact):
            self._write(f"{name}/config.pbtxt", config_pbtxt(artifact))
        self._write(f"{name}/labels.txt", "".join(f"{label}\n" for label in artifact.classes))
        self._write(f"{name}/{version}/{MANIFEST}", artifact.model_dump_json(indent=2) + "\n")
        self.refresh(name)
        return artifact

    def _claim(self, name: str) -> int:
        """A version number that is this publisher's alone: the first one nobody has used."""
        token, version = uuid.uuid4().hex.encode(), 0
        while True:
            there = [int(path.split("/")[1]) for path in self._list(f"/{name}") if re.match("[^/]+/[1-9][0-9]*/", path)]
            version = max([version, *there]) + 1
            claim = f"{name}/{version}/{CLAIM}"
            try:
                with self._writing(claim):
                    self._fs.pipe_file(f"{self._remote}/{claim}", token, mode="create")
                    # Some servers check conditions, but not of requests at the very same moment.
                    mine = self._fs.cat_file(f"{self._remote}/{claim}") == token
            except FileExistsError:
                continue
            # Whoever copies folders there claims nothing.
            if mine and [*self._list(f"/{name}/{version}")] == [claim]:
                return version

    def _write(self, path: str, text: str) -> None:
        with self._writing(path):
            self._fs.pipe_file(f"{self._remote}/{path}", text.encode())

    @contextmanager
    def _writing(self, path: str) -> Iterator[None]:
        """Raises FileExistsError where somebody else created the object, else what an error means."""
        try:
            yield
        except FileNotFoundError as error:
            raise NotFoundError(f"{self.url}/{path} cannot be written: {error}; create the bucket first") from error
        except Exception as error:  # Each kind of store has its own.
            if is_taken(error):
                raise FileExistsError(path) from error
            raise meaning(error, f"{self.url}/{path} cannot be written") from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps other processes from changing the copies."""
        held: IO[str] | None = None
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NotReadyError(f"the cache {self.root} cannot be written: {error}; name another") from error
        with suppress(OSError):  # Some network file systems have no locks.
            held = files.lock(self.root.with_name(f".{self.root.name}.lock"), None)
        try:
            yield
        finally:
            if held is not None:
                held.close()

    def _list(self, below: str = "") -> dict[str, dict[str, Any]]:
        """Path in the repository of every file, and what is known of it."""
        try:
            self._fs.invalidate_cache()
            found: dict[str, dict[str, Any]] = self._fs.find(f"{self._remote}{below}", detail=True)
        except FileNotFoundError as error:
            raise NotFoundError(f"model repository {self.url} cannot be listed: {error}; create the bucket") from error
        except Exception as error:
            raise meaning(error, f"model repository {self.url} cannot be listed") from error
        return {path[len(self._remote) + 1 :]: info for path, info in found.items()}

    def _copy(self, path: str, file: ArtifactFile | None = None) -> None:
        target = self.root / path
        if ".." in Path(path).parts:
            raise InvalidInputError(f"{self.url}/{path} points out of its model; publish the model again")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with files.staging_directory(self.root, "copy") as folder:
                part = folder / "part"
                self._fs.get_file(f"{self._remote}/{path}", str(part))
                if file is not None and (actual := files.sha256_file(part)) != file.sha256:
                    raise InvalidInputError(
                        f"{self.url}/{path} has sha256 {actual[:12]}…, expected {file.sha256[:12]}…: the file was "
                        "changed or damaged; publish the model again"
                    )
                part.replace(target)
        except FileNotFoundError as error:
            raise InvalidInputError(f"{self.url}/{path} is missing; publish the model again") from error
        except BakeoffError:
            raise
        except Exception as error:
            raise meaning(error, f"{self.url}/{path} cannot be copied to {self.root}") from error


def _stamp(info: dict[str, Any]) -> str:
    return "|".join(str(info.get(key)) for key in ("size", "ETag", "etag", "LastModified", "mtime", "created", "md5"))
