import json
from pathlib import Path

from core import files
from core.store import Store
from services.evaluator.reporting import read_results
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


def test_readable_results_leave_the_spec_as_it_is(tmp_path: Path) -> None:
    one = Experiment(seeds=(0,), arms=("matched",), frameworks=("keras",))
    assert read_results(stored(one, tmp_path), one.spec) == (one.spec, one.results)
