"""Copies versions into a production repository, whose models keep one name through all their versions.

Versions are immutable and their numbers only grow, and that holds for a rollback too: it publishes the content of an
earlier version again as the next one. Every server that serves the newest version follows, stock Triton included; there
is no pin that the next promotion would have to know of and remove; replicas cannot disagree about what "latest" means;
and the list of versions is the history of what was in production, each with its origin. The price is one more copy of
the files.
"""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pydantic

from core import files
from core.errors import InvalidInputError, NotFoundError, WrongStateError
from core.repository import CARD, ModelRepository
from core.schemas.artifact import Artifact, ArtifactFile, Origin
from core.schemas.base import Name
from core.schemas.scores import Operating

NAME: pydantic.TypeAdapter[str] = pydantic.TypeAdapter(Name)


@dataclass(frozen=True)
class Promotion:
    """What a promotion or a rollback did."""

    artifact: Artifact
    """The newest version now."""
    published: bool
    """False when the newest version already had this content, so that nothing was done."""


@dataclass(frozen=True)
class Evidence:
    """What is known about a candidate and goes along with it."""

    card: str | None = None
    """Markdown."""
    operating: Operating | None = None
    """Temperature and threshold from its validation data."""


NOTHING = Evidence()


def promote(
    candidates: ModelRepository,
    candidate: str,
    version: int | None,
    production: ModelRepository,
    name: str,
    force: bool = False,
    evidence: Evidence = NOTHING,
) -> Promotion:
    """Publishes a candidate's version as the next version of `name` in production.

    Args:
        version: of the candidate; None for its newest.
        evidence: goes along: the card as a file, temperature and threshold into the manifest.
        force: replace a model that has other classes, another input or another format.

    Raises:
        NotFoundError: no such candidate or version.
        InvalidInputError: `name` is no model name, the candidate's files are damaged, or the copy is.
        WrongStateError: clients of `name` would notice more than better answers, and `force` is not set.
    """
    _check_name(name)
    candidates.refresh(candidate)
    production.refresh(name)
    number = version or candidates.latest(candidate)
    artifact = candidates.verify(candidate, number).model_copy(update={"operating": evidence.operating})
    current = _newest(production, name)
    if current is not None:
        if not force:
            _check_replaces(artifact, current)
        if _same(artifact, current) and _is_intact(production, current):
            return Promotion(current, published=False)
    origin = Origin(action="promote", name=candidate, version=number, at=datetime.now(UTC))
    source = candidates.path(candidate, number)
    return Promotion(_copy(source, artifact, production, name, origin, evidence.card), published=True)


def rollback(production: ModelRepository, name: str, to: int | None = None, force: bool = False) -> Promotion:
    """Publishes an earlier version of `name` again, as its next version.

    Args:
        to: the version whose content shall answer again; None for the one before the present content. A rollback counts
            as the version it brought back: rolling back twice goes two promotions back.
        force: as in `promote`.

    Raises:
        NotFoundError: no such model or version, or nothing came before.
        InvalidInputError, WrongStateError: as in `promote`.
    """
    production.refresh(name)
    current = production.artifact(name, production.latest(name))
    target = to or _before(production, name, current)
    artifact = production.verify(name, target)
    if _same(artifact, current) and _is_intact(production, current):
        return Promotion(current, published=False)
    if not force:
        _check_replaces(artifact, current)
    origin = Origin(action="rollback", name=name, version=target, at=datetime.now(UTC))
    return Promotion(_copy(production.path(name, target), artifact, production, name, origin), published=True)


def _before(production: ModelRepository, name: str, current: Artifact) -> int:
    """The newest version older than the present content first was, and different from it."""
    first = current
    while first.origin is not None and first.origin.action == "rollback":
        first = production.artifact(name, first.origin.version)
    for version in reversed([v for v in production.versions(name) if v < first.version]):
        if not _same(production.artifact(name, version), current):
            return version
    raise NotFoundError(f"model {name!r} version {current.version} has no earlier content in {production.place}")


def _newest(production: ModelRepository, name: str) -> Artifact | None:
    versions = production.versions(name)
    return production.artifact(name, versions[-1]) if versions else None


def _same(one: Artifact, other: Artifact) -> bool:
    """The same bytes, read the same way, with the same threshold."""
    return _meaning(one) == _meaning(other)


def _meaning(artifact: Artifact) -> tuple[object, ...]:
    return artifact.digest, artifact.classes, artifact.preprocess, artifact.operating


def _is_intact(production: ModelRepository, current: Artifact) -> bool:
    """False where the files are damaged: publishing the content again repairs that."""
    try:
        production.verify(current.name, current.version)
    except InvalidInputError:
        return False
    return True


def _check_name(name: str) -> None:
    try:
        NAME.validate_python(name)
    except pydantic.ValidationError as error:
        raise InvalidInputError(
            f"{name!r} is no model name; use lower-case letters, digits and hyphens, at most 63"
        ) from error


def _check_replaces(artifact: Artifact, current: Artifact) -> None:
    """Raises WrongStateError naming the first thing clients of the present version would stumble over."""
    for what in ("classes", "preprocess", "format"):
        new, old = getattr(artifact, what), getattr(current, what)
        if new != old:
            raise WrongStateError(
                f"{artifact.name} version {artifact.version} has {what} {new}, {current.name} version "
                f"{current.version} has {old}: its clients would notice; publish it under another name, or force it"
            )


def _copy(
    source: Path, artifact: Artifact, production: ModelRepository, name: str, origin: Origin, card: str | None = None
) -> Artifact:
    """Publishes a copy. What was copied is compared with the manifest before it appears."""
    with production.staging() as staged:
        shutil.copytree(source, staged, dirs_exist_ok=True)
        if card is not None:
            files.write_text(staged / CARD, card)

        def describe(version: int, listed: tuple[ArtifactFile, ...]) -> Artifact:
            if {file.path: file for file in listed} != {file.path: file for file in artifact.files}:
                raise InvalidInputError(f"{source} was changed while it was copied; nothing was published, try again")
            return artifact.model_copy(update={"name": name, "version": version, "origin": origin})

        return production.publish(staged, describe, name)
