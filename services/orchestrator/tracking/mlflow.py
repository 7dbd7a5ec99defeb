"""MLflow: parameters, curves, artefacts and the data's fingerprint of every training."""

import json
import logging
import os
import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from core.schemas.metrics import EpochMetrics
from core.schemas.results import TrainResult
from core.schemas.specs import TrainSpec
from services.orchestrator.tracking.sink import Outcome, Tracked
from services.orchestrator.tracking.tensorboard import TAGS, figures

RUN_TAG, ERROR_TAG = "bakeoff.run_id", "bakeoff.error"
STATE_TAG, PRUNED = "state", "PRUNED"
"""What Optuna's own MLflowCallback notes at a run that it ends as FINISHED like any other."""
LONGEST_VALUE = 500
"""Characters of a parameter's value that every MLflow server takes."""
DIGEST = 36
"""Longest digest of a data set in MLflow."""


class MlflowSink:
    """One MLflow experiment for each experiment, one run for each training, found again by its run id.

    Args:
        uri: tracking server or database.
        artifacts: folder for artefacts where a local database is used; None: the server decides.
    """

    name = "MLflow"

    def __init__(self, uri: str, artifacts: Path | None) -> None:
        # Its usage statistics would leave this machine.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("DO_NOT_TRACK", "true")
        from mlflow import entities
        from mlflow.tracking import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        self._entities, self._client = entities, MlflowClient(uri)
        self._artifacts = artifacts
        self._experiments: dict[str, str] = {}
        self._runs: dict[str, str] = {}
        self._logged: dict[str, set[int]] = {}

    def epoch(self, run: Tracked, number: int, values: dict[str, float]) -> None:
        """Adds an epoch to the run's curves, once."""
        mine = self._run(run)
        if number not in self._logged[mine]:
            self._logged[mine].add(number)
            self._client.log_batch(mine, metrics=self._metrics(number, values))

    def finished(self, run: Tracked, outcome: Outcome) -> None:
        """Completes the run, unless it is complete."""
        mine = self._run(run)
        found = self._client.get_run(mine)
        if found.info.status == "FINISHED":
            return
        result, known = outcome.result, found.data.metrics
        metrics = self._lacking(mine, known, result.history) + self._metrics(0, _new(known, cost(result)))
        self._client.log_batch(mine, metrics=metrics)
        self._client.log_inputs(mine, datasets=[self._data(result.spec)])
        self._client.log_artifacts(mine, str(outcome.folder), "result")
        for folder in outcome.models:
            self._client.log_artifacts(mine, str(folder), f"models/{folder.parent.name}/{folder.name}")
        self._client.set_terminated(mine, "FINISHED")

    def scored(self, run: Tracked, name: str, values: dict[str, float]) -> None:
        """Adds the figures as `test.accuracy.onnx`, unless these very ones are there."""
        mine = self._run(run)
        known = self._client.get_run(mine).data.metrics
        if new := _new(known, {f"test.{key}.{name}": value for key, value in values.items()}):
            self._client.log_batch(mine, metrics=self._metrics(0, new))

    def interrupted(self, run: Tracked) -> None:
        """Ends the run as killed; one that has not begun, or has ended already, is left as it is."""
        found = self._find(run)
        if found and found.info.status == "RUNNING":
            self._client.set_terminated(found.info.run_id, "KILLED")

    def failed(self, run: Tracked, reason: str) -> None:
        """Ends the run as failed, with the reason as a tag."""
        self._end(run, ERROR_TAG, reason, "FAILED")

    def pruned(self, run: Tracked) -> None:
        """Ends the run of a trial that a search stopped, with a tag that says so."""
        self._end(run, STATE_TAG, PRUNED, "FINISHED")

    def _end(self, run: Tracked, tag: str, value: str, status: str) -> None:
        """Ends a run without a result; one that ended so before, and has not gone on since, keeps its time."""
        if run.run_id not in self._runs:
            found = self._find(run)
            if found and (found.info.status, found.data.tags.get(tag)) == (status, value):
                return
        mine = self._run(run)
        self._client.set_tag(mine, tag, value)
        self._client.set_terminated(mine, status)

    def _run(self, run: Tracked) -> str:
        if run.run_id not in self._runs:
            found = self._find(run)
            self._runs[run.run_id] = self._reopened(found) if found else self._create(run)
        return self._runs[run.run_id]

    def _find(self, run: Tracked) -> Any:
        """MLflow's run of a training; None where there is none yet."""
        experiment = self._experiment(run.spec.experiment)
        wanted = f"tags.`{RUN_TAG}` = '{run.run_id}'"
        return next(iter(self._client.search_runs([experiment], wanted, max_results=1)), None)

    def _reopened(self, found: Any) -> str:
        """The run's id; one that ended without a result goes on."""
        mine, tags = str(found.info.run_id), found.data.tags
        history = self._client.get_metric_history(mine, "train_loss")
        self._logged[mine] = {metric.step for metric in history}
        if pruned := tags.get(STATE_TAG) == PRUNED:  # Now it goes on, in a search that prunes less.
            self._client.delete_tag(mine, STATE_TAG)
        if ERROR_TAG in tags:  # Now it is tried again.
            self._client.delete_tag(mine, ERROR_TAG)
        if pruned or found.info.status in ("FAILED", "KILLED"):
            self._client.update_run(mine, "RUNNING")
        return mine

    def _create(self, run: Tracked) -> str:
        spec = run.spec
        tags = {RUN_TAG: run.run_id, "framework": spec.framework, "arm": spec.arm, "seed": str(spec.seed)}
        created = self._client.create_run(self._experiment(spec.experiment), tags=tags, run_name=run.name)
        mine = str(created.info.run_id)
        self._logged[mine] = set()
        self._client.log_batch(mine, params=[self._entities.Param(k, v) for k, v in parameters(spec).items()])
        return mine

    def _experiment(self, name: str) -> str:
        if name not in self._experiments:
            found = self._client.get_experiment_by_name(name)
            if found and found.lifecycle_stage == "deleted":  # Its name stays taken, and it takes no runs.
                self._client.restore_experiment(found.experiment_id)
            place = (self._artifacts / name).as_uri() if self._artifacts else None
            made = found.experiment_id if found else self._client.create_experiment(name, artifact_location=place)
            self._experiments[name] = made
        return self._experiments[name]

    def _lacking(self, mine: str, known: Collection[str], history: Sequence[EpochMetrics]) -> list[Any]:
        """What a run lacks of a result's epochs.

        While a training runs not every epoch is heard of, nor its seconds; and one that was heard of may have been
        trained again since, with other figures. MLflow removes no point: of several at a step the latest in time
        counts where it shows one value, and its charts draw them all.
        """
        points = [point for key in TAGS if key in known for point in self._client.get_metric_history(mine, key)]
        there: dict[int, dict[str, float]] = defaultdict(dict)
        for point in sorted(points, key=lambda point: point.timestamp):
            there[point.step][point.key] = point.value
        news = [self._metrics(metrics.epoch, _new(there[metrics.epoch], figures(metrics))) for metrics in history]
        return [metric for new in news for metric in new]

    def _metrics(self, step: int, values: dict[str, float]) -> list[Any]:
        now = int(time.time() * 1000)
        return [self._entities.Metric(key, value, now, step) for key, value in values.items()]

    def _data(self, spec: TrainSpec) -> Any:
        data = self._entities.Dataset(
            name="prepared data", digest=spec.data[:DIGEST], source_type="bakeoff", source=json.dumps({"id": spec.data})
        )
        return self._entities.DatasetInput(data, [self._entities.InputTag("mlflow.data.context", "training")])


def parameters(spec: TrainSpec) -> dict[str, str]:
    """Everything that decides a training, nested keys with dots."""
    document = spec.model_dump(mode="json", exclude={"kind", "schema_version"})
    document["data_fingerprint"] = document.pop("data")
    return {key: value[:LONGEST_VALUE] for key, value in _flat("", document).items()}


def cost(result: TrainResult) -> dict[str, float]:
    """What a training took, and the size of its artefacts."""
    seconds = {f"seconds.{phase}": value for phase, value in result.seconds.items()}
    sizes = {f"bytes.{model.format}": float(model.size_bytes) for model in result.models}
    return {
        **seconds,
        **sizes,
        "images_per_second": result.images_per_second,
        "peak_memory_bytes": float(result.peak_memory_bytes),
        "parameters": float(result.parameters),
    }


def _new(known: dict[str, float], values: dict[str, float]) -> dict[str, float]:
    """Those that are not known, or not so."""
    return {key: value for key, value in values.items() if known.get(key) != value}


def _flat(prefix: str, value: Any) -> dict[str, str]:
    if isinstance(value, dict):
        parts = [_flat(f"{prefix}.{key}" if prefix else str(key), item) for key, item in value.items()]
        return {key: item for part in parts for key, item in part.items()}
    return {prefix: value if isinstance(value, str) else json.dumps(value)}
