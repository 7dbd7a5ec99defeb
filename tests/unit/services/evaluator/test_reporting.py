import base64
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from core import files
from core.prepared import open_prepared
from core.schemas.results import EvaluateResult, PrepareResult, TrainResult
from core.store import Store
from core.worker import RunFolder
from evaluator import predictions
from evaluator.journal import Journal
from evaluator.predictions import About
from services.evaluator.reporting import (
    AUGMENTED,
    other_material,
    read_predictions,
    read_results,
    recompute,
    write_report,
)
from tests.system.prepared_noise import FINGERPRINT, put_noise
from tests.unit.evaluator.builder import Experiment

CLASSES = ("zero", "one", "two")


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
    spec, results = read_results(store, one.spec, one.spec.results)
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
    spec, results = read_results(store, one.spec, one.spec.results)
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
    assert read_results(stored(one, tmp_path), one.spec, one.spec.results) == (one.spec, one.results)


@pytest.mark.parametrize(
    ("name", "rows", "problem"),
    [
        ("test", 29, "test: probabilities have shape [29, 3], expected [30, 3]"),
        ("validation", 19, "validation: probabilities have shape [19, 3], expected [20, 3]"),
        ("validation", None, "validation.parquet cannot be read"),
        ("test-noise-3", 1, "test-noise-3: probabilities have shape [1, 3], expected [30, 3]"),
        ("test-noise-3", None, "test-noise-3.parquet cannot be read"),
    ],
)
def test_predictions_that_metrics_cannot_be_computed_from_cost_no_other_result_its_place(
    tmp_path: Path, name: str, rows: int | None, problem: str
) -> None:
    one = Experiment(seeds=(0,), arms=("matched",), frameworks=("keras",), classes=CLASSES, images=30)
    first, second = [r for r in one.results if isinstance(r, EvaluateResult)][:2]
    wanted = first.spec.model_copy(update={"corruptions": ("noise",), "data": FINGERPRINT})
    results = [r.model_copy(update={"spec": wanted, "metrics_version": 0}) for r in (first, second)]
    store = put_noise(tmp_path, 30)
    for result in results:
        for kept in ("test", "validation", "test-noise-3"):
            count = 20 if kept == "validation" else 30
            damaged = result is results[0] and kept == name
            path = tmp_path / result.run_id / f"predictions/{kept}.parquet"
            keep(path, rows if damaged and rows else count)
            if damaged and rows is None:
                path.write_bytes(b"PAR1 cut short")
        files.write_json(tmp_path / result.run_id / "result.json", result)
        store.put("results", result.run_id, tmp_path / result.run_id)
    spec = one.spec.model_copy(update={"missing": ("train fastai: lost",)})
    spec, probabilities = read_predictions(store, spec, [*results])
    spec, found = recompute(store, spec, [*results], open_prepared(store, FINGERPRINT), probabilities)
    assert found[0] == results[0]
    assert isinstance(found[1], EvaluateResult)
    assert (found[1].metrics_version, len(found[1].robustness)) == (1, 1)
    assert spec.missing[0] == "train fastai: lost"
    (line,) = spec.missing[1:]
    assert line.startswith(f"evaluate {results[0].run_id}: its metrics could not be computed anew: ")
    assert problem in line


def keep(path: Path, count: int) -> None:
    """Predictions of the first class for every image."""
    journal = Journal(path.with_suffix(".rows"), 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    journal.append(np.tile(np.array([0.8, 0.1, 0.1], np.float32), (count, 1)), 1.0)
    about = About("m", 1, "a" * 64, FINGERPRINT, path.stem, CLASSES)
    predictions.write(path, journal.rows(count), np.zeros(count, np.int64), ["item"] * count, about)


def test_where_the_other_splits_data_is_gone_the_rest_is_reported(tmp_path: Path) -> None:
    one = Experiment(seeds=(0,), arms=("matched",), frameworks=("keras",), policy="contiguous")
    store = stored(one, tmp_path)
    asked = one.spec.model_copy(update={"results": (), "other_split": one.spec.results})
    spec, found = other_material(store, asked)
    assert found is None
    assert spec.missing[0].startswith("the other split: no prepared data")
    assert other_material(store, one.spec) == (one.spec, None)


def test_the_pictures_that_trainings_kept_of_augmented_samples_are_in_the_report(tmp_path: Path) -> None:
    one = Experiment(seeds=(0,), arms=("matched",), frameworks=("keras", "pytorch"), classes=CLASSES, images=30)
    prepared, *trainings = [result for result in one.results if isinstance(result, PrepareResult | TrainResult)]
    one.results = [prepared.model_copy(update={"fingerprint": FINGERPRINT}), *trainings]
    pictures = {"Keras": b"red", "PyTorch": b"blue"}
    for training, content in zip(trainings, pictures.values(), strict=True):
        files.write_bytes(tmp_path / training.run_id / AUGMENTED, content)
    store = stored(one, tmp_path)
    put_noise(tmp_path, 30)
    for kind in ("images", "labels"):
        folder = tmp_path / "store/prepared" / FINGERPRINT
        shutil.copy(folder / f"test.{kind}.npy", folder / f"train.{kind}.npy")
    run = tmp_path / "run"
    run.mkdir()
    write_report(RunFolder(run), one.spec, store)
    page = (store.path("results", "run") / "report.html").read_text()
    for framework, content in pictures.items():
        address = f"data:image/png;base64,{base64.b64encode(content).decode()}"
        assert f'<img src="{address}" alt="Augmented samples, matched: {framework}">' in page
