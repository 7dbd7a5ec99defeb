"""A model repository behind an fsspec URL, as a local one: manifests are copied when somebody looks, files on loading.

Whoever publishes there writes a version's `artifact.json` last: without it the version does not exist.
"""

import errno
import re
import shutil
from pathlib import Path
from typing import Any

import fsspec

from core import files
from core.errors import BakeoffError, ExhaustedError, InvalidInputError, NotFoundError, NotReadyError
from core.repository import MANIFEST, ModelRepository
from core.schemas.artifact import ArtifactFile

SMALL = re.compile(rf"[^./][^/]*/(config\.pbtxt|labels\.txt|[1-9][0-9]*/{MANIFEST})")
"""Files that are copied at once, by their path in the repository."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class MirroredRepository(ModelRepository):
    """Reads models below `url` through copies in `cache`.

    Args:
        url: anything fsspec understands (`s3://bucket/models`); credentials and endpoints come from its environment.
        cache: folder of this server alone.
    """

    def __init__(self, url: str, cache: Path) -> None:
        super().__init__(cache)
        self.url = url
        self._fs, root = fsspec.core.url_to_fs(url)
        self._remote = str(root).rstrip("/")
        self._seen: dict[str, str] = {}

    def refresh(self) -> None:
        """Takes up manifests and configurations that are new or changed, and forgets what is gone.

        Raises:
            NotFoundError: there is nothing at the URL.
            NotReadyError: it cannot be reached.
            ExhaustedError: the cache has no room.
        """
        found = self._list()
        self.root.mkdir(parents=True, exist_ok=True)
        for path, stamp in found.items():
            if self._seen.get(path) != stamp or not (self.root / path).is_file():
                self._copy(path)
                self._seen[path] = stamp
        for manifest in [*self.root.glob(f"*/*/{MANIFEST}")]:
            if manifest.relative_to(self.root).as_posix() not in found:
                shutil.rmtree(manifest.parent, ignore_errors=True)
        for config in [*self.root.glob("*/config.pbtxt")]:
            if config.relative_to(self.root).as_posix() not in found:
                config.unlink()

    def fetch(self, name: str, version: int) -> None:
        """Copies what is missing or differs, each file under its name only when its sha256 is right.

        Raises:
            InvalidInputError: a file at the URL is missing or does not match its manifest.
            NotReadyError: the URL cannot be reached, or the cache cannot be written.
            ExhaustedError: the cache has no room.
        """
        folder, artifact = self.path(name, version), self.artifact(name, version)
        for file in artifact.files:
            target = folder / file.path
            if not target.is_file() or files.sha256_file(target) != file.sha256:
                self._copy(f"{name}/{version}/{file.path}", file)
        listed = {file.path for file in artifact.files} | {MANIFEST}
        for path in files.files_below(folder):
            if path.as_posix() not in listed:
                (folder / path).unlink()

    def _list(self) -> dict[str, str]:
        """Path in the repository of every small file, and what changes when its content does."""
        try:
            self._fs.invalidate_cache()
            found: dict[str, dict[str, Any]] = self._fs.find(self._remote, detail=True)
        except Exception as error:
            raise NotReadyError(f"model repository {self.url} cannot be listed: {error}") from error
        if not found:
            raise NotFoundError(f"model repository {self.url} is empty; publish a model there, or name another")
        relative = {path[len(self._remote) + 1 :]: info for path, info in found.items()}
        return {path: _stamp(info) for path, info in relative.items() if SMALL.fullmatch(path)}

    def _copy(self, path: str, file: ArtifactFile | None = None) -> None:
        target = self.root / path
        if ".." in Path(path).parts:
            raise InvalidInputError(f"{self.url}/{path} points out of its model; publish the model again")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
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
        except Exception as error:  # Each kind of store has its own.
            reason = f"{self.url}/{path} cannot be copied to {self.root}: {getattr(error, 'strerror', None) or error}"
            if getattr(error, "errno", None) in NO_ROOM:
                raise ExhaustedError(f"{reason}; make room, or name another --cache") from error
            raise NotReadyError(f"{reason}; see that both can be reached") from error


def _stamp(info: dict[str, Any]) -> str:
    return "|".join(str(info.get(key)) for key in ("size", "ETag", "etag", "LastModified", "mtime", "created", "md5"))
