"""A search through running services: early stopping, and what is left of it when its command is killed."""

import json
from pathlib import Path
from typing import Any

import pytest

from core.schemas.summary import Summary
from tests.system.bakeoff_command import Bakeoff
from tests.system.containers import wait_for

pytestmark = pytest.mark.system
# The last rate learns nothing: its accuracy stays that of a guess, which is below the median from some early epoch on.
# So many epochs that no training ends by itself in the moment between such an epoch and its cancellation.
SEARCH = """\
name: searching
title: Two rates that learn and one that does not
data:
  source: {kind: digits}
  image: {height: 8, width: 8, color: grey}
arms: {net: {architecture: digits-cnn, recipe: {epochs: 80}}}
frameworks: [pytorch]
seeds: [0]
loadtest: null
search:
  arm: net
  framework: pytorch
  method: grid
  startup: 2
  space:
    recipe.optimizer.learning_rate: [0.002, 0.001, 1.0e-9]
"""


def trainings(bakeoff: Bakeoff) -> dict[str, dict[str, Any]]:
    """What the trainer remembers of each run, by arm."""
    return {
        json.loads((path.parent / "spec.json").read_text())["arm"]: json.loads(path.read_text())
        for path in bakeoff.home.glob("runs/trainer-pytorch/train-*/run.json")
    }


def test_a_killed_search_goes_on_repeats_nothing_and_stops_a_bad_trial_with_its_worker(tmp_path: Path) -> None:
    bakeoff, file = Bakeoff(tmp_path / "home"), tmp_path / "searching.yaml"
    file.write_text(SEARCH)
    process = bakeoff.start("run", str(file))
    wait_for(lambda: "net-t1" in trainings(bakeoff), "the second trial to begin")
    process.kill()
    process.communicate(timeout=30)
    assert trainings(bakeoff).keys() == {"net-t0", "net-t1"}

    ended = bakeoff.run("run", str(file))
    down = bakeoff.run("down")  # Of the services that the killed command left.
    assert (ended.code, down.code) == (0, 0), ended.err
    assert "train net-t0 pytorch s0: already done" in ended.err
    runs = trainings(bakeoff)
    assert {arm: run["state"] for arm, run in runs.items()} == {
        "net-t0": "succeeded", "net-t1": "succeeded", "net-t2": "cancelled"
    }  # fmt: skip
    # A busy machine may have the second command replace a service that answers late, and net-t1 resume.
    assert {runs[arm]["attempts"] for arm in ("net-t0", "net-t2")} == {1}
    summary = Summary.model_validate_json((bakeoff.home / "reports/searching/summary.json").read_bytes())
    assert summary.search
    assert [trial.state for trial in summary.search.trials] == ["complete", "complete", "pruned"]
    assert summary.search.trials[2].epochs < 80
    assert summary.search.best in (0, 1)
    assert [row.arm for row in summary.rows] == [f"net-t{summary.search.best}"]
    assert bakeoff.processes() == []
