"""The model repository in Triton's layout: `<model>/config.pbtxt`, `labels.txt`, `<version>/<model file>`.

A version folder appears by one rename with `artifact.json` already inside, so a server that polls sees it whole or not
at all. A folder without a valid `artifact.json` is not a version.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core import files
from core.errors import InvalidInputError, NotFoundError
from core.formats import MAX_BATCH, get_format
from core.schemas.artifact import Artifact, ArtifactFile
from core.schemas.base import NAME, parse_json

MANIFEST = "artifact.json"
CARD = "card.md"
"""The model card of a promoted version. For people: no part of the artefact, so its digest does not cover it."""
BESIDE = frozenset((MANIFEST, CARD))


class ModelRepository:
    """Reads and publishes models below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def place(self) -> str:
        """Where it is, as people name it."""
        return str(self.root)

    @property
    def absent(self) -> bool:
        """There is nothing yet; the first model published here makes it."""
        return not self.root.exists() and self.root.parent.is_dir()

    def require(self, awaited: bool = False) -> None:
        """Raises NotFoundError where there is no repository, unless it is `awaited` and may still appear."""
        if not self.root.is_dir() and not (awaited and self.absent):
            raise NotFoundError(f"model repository {self.root} is not a folder; create it or name another")

    def refresh(self, name: str | None = None) -> None:
        """Looks for what changed, of one model or of all. A folder is looked at directly: there is nothing to do."""

    def models(self) -> list[str]:
        """Names of the models with at least one version, sorted."""
        if not self.root.is_dir():
            return []
        names = sorted(p.name for p in self.root.iterdir() if p.is_dir() and not p.name.startswith("."))
        return [name for name in names if self.versions(name)]

    def versions(self, name: str) -> list[int]:
        """Published versions of a model, ascending; empty for an unknown model."""
        return [version for version in self._numbers(name) if (self.root / name / str(version) / MANIFEST).is_file()]

    def _numbers(self, name: str) -> list[int]:
        """Every folder that has a version's name, complete or not, ascending. `01` is no version.

        A name that nothing can be published under, such as `../elsewhere`, has none: callers far away choose it.
        """
        folder = self.root / name
        if not NAME.match(name) or not folder.is_dir():
            return []
        return sorted(int(p.name) for p in folder.iterdir() if re.fullmatch("[1-9][0-9]*", p.name))

    def path(self, name: str, version: int) -> Path:
        """Folder of one version. Raises NotFoundError, listing the versions there are."""
        folder = self.root / name / str(version)
        if not NAME.match(name) or not (folder / MANIFEST).is_file():
            known = ", ".join(map(str, self.versions(name))) or "none"
            raise NotFoundError(f"model {name!r} has no version {version} in {self.place} (versions: {known})")
        return folder

    def latest(self, name: str) -> int:
        """Newest version of a model. Raises NotFoundError for an unknown model."""
        versions = self.versions(name)
        if not versions:
            raise NotFoundError(f"no model {name!r} in {self.place}")
        return versions[-1]

    def artifact(self, name: str, version: int) -> Artifact:
        """The manifest of one version."""
        path = self.path(name, version) / MANIFEST
        return parse_json(Artifact, path.read_bytes(), str(path))

    def model_path(self, name: str, version: int) -> Path:
        """The file or folder a runtime loads."""
        artifact = self.artifact(name, version)
        return self.path(name, version) / get_format(artifact.format).path

    def fetch(self, name: str, version: int) -> None:
        """Brings a version's files here. In a folder they are."""

    def verify(self, name: str, version: int) -> Artifact:
        """Compares every file with its manifest and returns the manifest.

        Raises:
            InvalidInputError: naming the first file that is missing, changed or not listed.
        """
        artifact = self.artifact(name, version)
        self.fetch(name, version)
        _compare(self.path(name, version), artifact)
        return artifact

    def read(self, artifact: Artifact, path: str | None = None) -> bytes | None:
        """As `verify`, by a manifest that was read before, and gives the content of the file `path`.

        These are the very bytes that were compared: whoever writes here could change a file between two looks at it.

        Raises:
            InvalidInputError: as `verify`; or `path` is none of the files.
        """
        self.fetch(artifact.name, artifact.version)
        return _compare(self.path(artifact.name, artifact.version), artifact, path)

    def version_of_run(self, name: str, run_id: str) -> int | None:
        """The version an earlier attempt of the same run published, if any."""
        return next((v for v in self.versions(name) if self.artifact(name, v).run_id == run_id), None)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A hidden folder on the repository's file system to export into; removed at the end if still there."""
        with files.staging_directory(self.root, "staging") as folder:
            yield folder

    def sweep(self) -> None:
        """Removes what publishers that were killed left behind."""
        files.sweep(self.root)
        for name in self.models():
            files.sweep(self.root / name)

    def publish(
        self, staged: Path, describe: Callable[[int, tuple[ArtifactFile, ...]], Artifact], name: str
    ) -> Artifact:
        """Moves the content of `staged` into the next version of `name`.

        `describe` receives the version number and the listed files and returns the manifest. `staged` must come from
        `staging`, so that a single rename publishes it, and with the first version the whole model. An edited
        config.pbtxt stays while the signature does.
        """
        folder = self.root / name
        listed = list_files(staged)
        while True:
            version = (self._numbers(name) or [0])[-1] + 1
            artifact = describe(version, listed)
            files.write_json(staged / MANIFEST, artifact)
            if not folder.exists() and self._publish_model(staged, artifact):
                return artifact
            self._write_texts(folder, artifact, with_config=not self._keeps_config(artifact))
            try:
                staged.rename(folder / str(version))
            except OSError:
                # Another process took the number in the meantime.
                if not (folder / str(version)).exists():
                    raise
                continue
            return artifact

    def _publish_model(self, staged: Path, artifact: Artifact) -> bool:
        """Publishes a first version with its model folder; False where somebody else made that folder meanwhile."""
        with files.staging_directory(self.root, "model") as model:
            self._write_texts(model, artifact, with_config=True)
            version = model / str(artifact.version)
            staged.rename(version)
            try:
                model.rename(self.root / artifact.name)
            except OSError:
                version.rename(staged)
                if not (self.root / artifact.name).exists():
                    raise
                return False
        return True

    def _write_texts(self, folder: Path, artifact: Artifact, with_config: bool) -> None:
        files.write_text(folder / "labels.txt", "".join(f"{label}\n" for label in artifact.classes))
        if with_config:
            files.write_text(folder / "config.pbtxt", config_pbtxt(artifact))

    def _keeps_config(self, artifact: Artifact) -> bool:
        """True when config.pbtxt is there and what it is made from is as in the newest version before.

        It may have been edited since: batching, instances and version policy are for the people who run the model.
        """
        versions = self.versions(artifact.name)
        if not versions or not (self.root / artifact.name / "config.pbtxt").is_file():
            return False
        try:
            return config_pbtxt(self.artifact(artifact.name, versions[-1])) == config_pbtxt(artifact)
        except InvalidInputError:
            return False


def _compare(folder: Path, artifact: Artifact, kept: str | None = None) -> bytes | None:
    """Compares the files of a version with its manifest; the content of the one that is `kept`."""
    listed = {file.path: file for file in artifact.files}
    present = {p.as_posix() for p in files.files_below(folder)} - BESIDE
    for path in sorted(present ^ listed.keys()):
        state = "is not listed in" if path in present else "is missing, listed in"
        raise InvalidInputError(f"{folder / path} {state} {MANIFEST}; publish the model again")
    if kept is not None and kept not in listed:
        raise InvalidInputError(f"{folder / kept} is missing, and not listed in {MANIFEST}; publish the model again")
    content = None
    for path, file in listed.items():
        if path == kept:
            content = (folder / path).read_bytes()
            actual = hashlib.sha256(content).hexdigest()
        else:
            actual = files.sha256_file(folder / path)
        if actual != file.sha256:
            raise InvalidInputError(
                f"{folder / path} has sha256 {actual[:12]}…, expected {file.sha256[:12]}…: the file was changed or "
                "damaged; publish the model again"
            )
    return content


def list_files(folder: Path) -> tuple[ArtifactFile, ...]:
    """Every file of the artefact below `folder` with its hash and size: all but manifest and card."""
    return tuple(
        ArtifactFile(path=p.as_posix(), sha256=files.sha256_file(folder / p), size_bytes=(folder / p).stat().st_size)
        for p in files.files_below(folder)
        if p.as_posix() not in BESIDE
    )


def config_pbtxt(artifact: Artifact) -> str:
    """Triton's model configuration as text. `dims` leave out the batch dimension because max_batch_size is set."""
    height, width, channels = artifact.preprocess.shape
    parameters = {
        "bakeoff.classes": json.dumps(artifact.classes, ensure_ascii=False),
        "bakeoff.preprocess": artifact.preprocess.model_dump_json(),
        "bakeoff.format": artifact.format,
    }
    blocks = "".join(
        f'parameters {{ key: "{key}" value {{ string_value: "{_escape(value)}" }} }}\n'
        for key, value in parameters.items()
    )
    return (
        f'name: "{artifact.name}"\n{get_format(artifact.format).triton}\nmax_batch_size: {MAX_BATCH}\n'
        f'input [ {{ name: "image" data_type: TYPE_UINT8 dims: [ {height}, {width}, {channels} ] }} ]\n'
        f'output [ {{ name: "probabilities" data_type: TYPE_FP32 dims: [ {len(artifact.classes)} ] '
        'label_filename: "labels.txt" } ]\n'
        f"dynamic_batching {{ }}\n{blocks}"
    )


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
