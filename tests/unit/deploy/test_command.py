"""A command in the cluster: which pod it gets, and what kubectl is told."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.k8s import command

JOB: dict[str, Any] = {
    "spec": {
        "backoffLimit": 4,
        "template": {
            "metadata": {
                "labels": {"app.kubernetes.io/component": "experiment", "controller-uid": "1", "job-name": "x"}
            },
            "spec": {
                "restartPolicy": "OnFailure",
                "containers": [{"name": "bakeoff", "image": "registry.example/cli:1", "args": ["run", "file"]}],
                "volumes": [{"name": "data"}],
            },
        },
    }
}
KUBECTL = """#!/bin/sh
if [ "$3" = get ]; then [ -f job.json ] && exec cat job.json; echo 'jobs.batch "experiment" not found' >&2; exit 1; fi
printf '%s\\n' "$@" >told
exit 3
"""


def test_the_pod_is_the_experiments_with_other_words_and_belongs_to_no_controller() -> None:
    pod = command.pod_like(JOB, ["models"])
    assert pod["metadata"]["labels"] == {"app.kubernetes.io/component": "experiment"}
    (container,) = pod["spec"]["containers"]
    assert container == {"name": "bakeoff", "image": "registry.example/cli:1", "args": ["models"]}
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["spec"]["volumes"] == [{"name": "data"}]
    assert JOB["spec"]["template"]["spec"]["containers"][0]["args"] == ["run", "file"]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a kubectl that answers for a cluster."""
    program = tmp_path / "kubectl"
    program.write_text(KUBECTL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def run(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, str(command.__file__), *words], cwd=folder, capture_output=True, text=True)


def test_options_of_the_command_reach_it_and_its_exit_code_comes_back(cluster: Path) -> None:
    (cluster / "job.json").write_text(json.dumps(JOB))
    done = run(cluster, "-n", "other", "promote", "a-model", "--as", "digits")
    assert done.returncode == 3, done.stderr
    told = (cluster / "told").read_text().splitlines()
    assert told[:3] == ["--namespace", "other", "run"]
    pod = json.loads(told[told.index("--overrides") + 1])
    assert pod["spec"]["containers"][0]["args"] == ["promote", "a-model", "--as", "digits"]


def test_without_the_job_it_says_what_to_do(cluster: Path) -> None:
    done = run(cluster, "models")
    assert done.returncode == 1
    assert 'jobs.batch "experiment" not found' in done.stderr
    assert "apply deploy/k8s/experiment first" in done.stderr
