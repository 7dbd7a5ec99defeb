import json
from pathlib import Path

import numpy as np
import pytest

from core import files
from core.schemas.results import EvaluateResult
from core.store import Store
from services.evaluator.reporting import read_predictions, read_results
from tests.unit.evaluator.builder import Experiment


def stored(experiment: Experiment, folder: Path) -> Store:
    store = Store(str(folder / "store"), folder / "cache")
    for result in experiment.results:
        content = folder / result.run_id
        files.write_json(content / "result.json", result)
        store.put("results", result.run_id, content)
    return store


def test_a_result_of_another_version_is_missing_and_the_rest_is_reported(tmp_path: Path) -> None:
    one = Experiment(seeds=(0,), arms=("matched",), frameworks=("keras",), missing=("train fastai: lost",))
    store = stored(one, tmp_path)
    path = tmp_path / "store/results" / one.results[-1].run_id / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 9}))
    spec, results = read_results(store, one.spec)
    assert results == one.results[:-1]
    assert spec.missing[0] == "train fastai: lost"
    assert "has schema_version 9; this version of Bakeoff reads 1, 2 and 3" in spec.missing[1]
    assert spec.missing[1].endswith(f"remove {path.parent} to do the step again")


@pytest.mark.parametrize("lost", ["result.json", "manifest.json"])
def test_a_result_that_is_not_there_is_missing_and_the_rest_is_reported(tmp_path: Path, lost: str) -> None:
    one = Experiment(seeds=(0,), arms=("matched",), frameworks=("keras",))
    store = stored(one, tmp_path)
    run_id = one.results[-1].run_id
    (tmp_path / "store/results" / run_id / lost).unlink()
    spec, results = read_results(store, one.spec)
    assert results == one.results[:-1]
    assert len(spec.missing) == 1
    assert run_id in spec.missing[0]


def test_damaged_predictions_of_an_earlier_version_are_missing_and_the_rest_is_reported(tmp_path: Path) -> None:
    one = Experiment(seeds=(0,), arms=("matched",), frameworks=("keras",))
    store = stored(one, tmp_path)
    first, *others = [result for result in one.results if isinstance(result, EvaluateResult)]
    for result in others:
        values = one.probabilities[result.run_id]
        np.savez_compressed(tmp_path / "store/results" / result.run_id / "predictions.npz", probabilities=values)
    (tmp_path / "store/results" / first.run_id / "predictions.npz").write_bytes(b"PK cut short")
    spec, found = read_predictions(store, one.spec, one.results)
    assert found.keys() == {result.run_id for result in others}
    assert len(spec.missing) == 1
    assert spec.missing[0].startswith(f"predictions of {first.spec.model}: ")
    assert "predictions.npz cannot be read" in spec.missing[0]


def test_readable_results_leave_the_spec_as_it_is(tmp_path: Path) -> None:
    one = Experiment(seeds=(0,), arms=("matched",), frameworks=("keras",))
    assert read_results(stored(one, tmp_path), one.spec) == (one.spec, one.results)
