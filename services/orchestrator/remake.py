"""Makes a report again from the results it was made from: no training, no inference."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

from core import files
from core.errors import NotFoundError, WrongStateError
from core.schemas.base import content_id, parse_json
from core.schemas.specs import ReportSpec
from core.store import Store
from services.client.control import EvaluatorClient, raise_unless_succeeded

SPEC = "spec.json"


def remake(folder: Path, target: str, store: Store) -> None:
    """Has the evaluator at `target` compute every metric of a report anew from the kept predictions.

    Raises:
        NotFoundError: the report does not say what it was made from; one of an earlier version.
        BakeoffError: the evaluator cannot make it; the report stays as it was.
    """
    path = folder / SPEC
    if not path.is_file():
        raise NotFoundError(f"{folder} has no {SPEC}: run its experiment again, only the report is made anew")
    spec = parse_json(ReportSpec, path.read_bytes(), str(path))
    again = spec.model_copy(update={"remake": datetime.now(UTC).isoformat()})
    run_id = content_id("report", again)
    with EvaluatorClient(target) as evaluator:
        evaluator.create(run_id, again)
        raise_unless_succeeded(evaluator.finish(run_id, lambda event: None))
    if not store.has("results", run_id):
        raise WrongStateError(f"report {run_id} is not in {store.url}: is it the evaluator's store?")
    replace_folder(store.path("results", run_id), folder)


def replace_folder(source: Path, target: Path) -> None:
    """Copies a result object for people; what was there before stays until the copy is complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    old, new = (target.with_name(f".{target.name}.{part}") for part in ("old", "new"))
    for leftover in (old, new):
        shutil.rmtree(leftover, ignore_errors=True)
    with files.staged_directory(new) as staging:
        shutil.copytree(source, staging, dirs_exist_ok=True)
    if target.exists():
        target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)
