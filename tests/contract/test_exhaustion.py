"""The frameworks' own errors of memory are known as such."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.contract.conftest import ROOT

pytestmark = pytest.mark.contract
PROGRAM = """
from tests.unit.trainer.test_exhaustion import IMAGE, spec
from trainer.exhaustion import named
{0}
with named(spec(), IMAGE, "cpu"):
    {1}
"""


@pytest.mark.parametrize(
    ("library", "load", "take"),
    [
        ("torch", "import torch", "torch.empty(2**50)"),
        ("tensorflow", "import tensorflow", "tensorflow.zeros([2**50])"),
    ],
)
def test_a_tensor_without_room_is_told_as_a_training_without_memory(library: str, load: str, take: str) -> None:
    if not find_spec(library):
        pytest.skip(f"{library} is not installed")
    command = [sys.executable, "-c", PROGRAM.format(load, take)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert "core.errors.ExhaustedError: out of memory on cpu" in done.stderr
