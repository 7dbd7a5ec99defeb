"""Reads result objects from the store."""

import hashlib
from collections.abc import Iterable

from core.errors import BakeoffError, InvalidInputError, WrongStateError
from core.schemas.base import canonical_json
from core.schemas.results import AnyResult as AnyResult
from core.schemas.results import parse_result
from core.store import Store

FILE = "result.json"


def read_result(store: Store, result_id: str) -> AnyResult:
    """A result document, also one that an earlier version of Bakeoff wrote.

    Raises:
        NotFoundError: no such result.
        WrongStateError: it is not there or cannot be read, for example because a later version wrote it; says what to
            remove.
    """
    path = store.path("results", result_id) / FILE
    try:
        return parse_result(path.read_bytes(), str(path))
    except OSError as error:
        raise WrongStateError(f"{path} cannot be read: {error}; remove {path.parent} to do the step again") from error
    except InvalidInputError as error:
        raise WrongStateError(f"{error}; remove {path.parent} to do the step again") from error


def state(store: Store, result_ids: Iterable[str]) -> str:
    """Digest of results as they are now: of what files each has, and of which can be read.

    A result that was removed and made again, or repaired, gives another one.
    """
    found = [[result_id, _state(store, result_id)] for result_id in result_ids]
    return hashlib.sha256(canonical_json(found).encode()).hexdigest()


def _state(store: Store, result_id: str) -> str:
    """Empty for a result that cannot be read."""
    try:
        read_result(store, result_id)
        return store.manifest("results", result_id).model_dump_json()
    except BakeoffError:
        return ""
