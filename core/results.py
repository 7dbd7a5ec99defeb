"""Reads result objects from the store."""

import pydantic

from core.errors import WrongStateError
from core.schemas.base import explain
from core.schemas.results import RESULT, EvaluateResult, LoadTestResult, PrepareResult, TrainResult
from core.store import Store

FILE = "result.json"
AnyResult = PrepareResult | TrainResult | EvaluateResult | LoadTestResult


def read_result(store: Store, result_id: str) -> AnyResult:
    """A result document.

    Raises:
        NotFoundError: no such result.
        WrongStateError: another version of Bakeoff wrote it; says what to remove.
    """
    path = store.path("results", result_id) / FILE
    try:
        return RESULT.validate_json(path.read_bytes())
    except pydantic.ValidationError as error:
        raise WrongStateError(
            f"{path} was written by another version of Bakeoff ({explain(error)}); "
            f"remove {path.parent} to do the step again"
        ) from error
