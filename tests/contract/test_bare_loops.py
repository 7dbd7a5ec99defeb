"""The bare loops that training speed is measured against, with the real frameworks."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.contract.conftest import ROOT

PACKAGES = {"keras": "keras", "tensorflow": "tensorflow", "pytorch": "torch", "fastai": "fastai"}


@pytest.mark.contract
@pytest.mark.timeout(300)
@pytest.mark.parametrize("framework", PACKAGES)
def test_a_bare_loop_trains_as_many_parameters_as_ours(framework: str) -> None:
    if not find_spec(PACKAGES[framework]):
        pytest.skip(f"{framework} is not installed: pip install 'bakeoff[{framework}]'")
    command = [sys.executable, "-m", "tests.contract.bare_loops", framework]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == {"mnist-cnn", "cifar-cnn3"}
    for bare, ours in found.values():
        assert bare == ours > 0
