"""Reads result objects from the store."""

from core.errors import InvalidInputError, WrongStateError
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
