"""Float32 batch norm of large batches, where one long sum per channel would lose four digits."""

import subprocess
import sys

import pytest

from core.schemas.specs import FRAMEWORKS
from tests.contract.conftest import ROOT, Probes

pytestmark = [pytest.mark.contract, pytest.mark.timeout(2700)]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_float32_training_logits_of_a_large_batch_are_right_to_five_digits(probes: Probes, framework: str) -> None:
    assert probes[framework].framework == framework  # skips where it is not installed
    command = [sys.executable, "-m", "tests.contract.precision_probe", framework]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    assert float(done.stdout) < 2e-5
