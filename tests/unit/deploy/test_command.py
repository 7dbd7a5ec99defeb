"""A command in the cluster: which pod it gets, and what kubectl is told."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.k8s import command

TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app.kubernetes.io/component": "experiment", "controller-uid": "1", "job-name": "x"}},
    "spec": {
        "restartPolicy": "OnFailure",
        "containers": [{"name": "bakeoff", "image": "registry.example/cli:1", "args": ["models"]}],
        "volumes": [{"name": "data"}],
    },
}
CRON_JOB: dict[str, Any] = {"spec": {"suspend": True, "jobTemplate": {"spec": {"template": TEMPLATE}}}}
KUBECTL = """#!/bin/sh
if [ "$3 $4 $5" = "get cronjob command" ]; then
  [ -f command.json ] && exec cat command.json; echo 'cronjobs.batch "command" not found' >&2; exit 1
fi
printf '%s\\n' "$@" >told
exit 3
"""


def test_the_pod_is_the_templates_with_other_words_and_belongs_to_no_controller() -> None:
    pod = command.pod_of(CRON_JOB, ["rollback", "digits"])
    assert pod["metadata"]["labels"] == {"app.kubernetes.io/component": "experiment"}
    (container,) = pod["spec"]["containers"]
    assert container == {"name": "bakeoff", "image": "registry.example/cli:1", "args": ["rollback", "digits"]}
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["spec"]["volumes"] == [{"name": "data"}]
    assert TEMPLATE["spec"]["containers"][0]["args"] == ["models"]


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
    (cluster / "command.json").write_text(json.dumps(CRON_JOB))
    done = run(cluster, "-n", "other", "promote", "a-model", "--as", "digits")
    assert done.returncode == 3, done.stderr
    told = (cluster / "told").read_text().splitlines()
    assert told[:3] == ["--namespace", "other", "run"]
    pod = json.loads(told[told.index("--overrides") + 1])
    assert pod["spec"]["containers"][0]["args"] == ["promote", "a-model", "--as", "digits"]


def test_without_the_template_it_says_what_to_do(cluster: Path) -> None:
    done = run(cluster, "models")
    assert done.returncode == 1
    assert 'cronjobs.batch "command" not found' in done.stderr
    assert "apply your overlay" in done.stderr
