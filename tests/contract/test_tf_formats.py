"""TensorFlow's decoder reads the files that are not refused, and no others."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.contract.conftest import ROOT
from tests.unit.trainer.test_tf_formats import FILES

pytestmark = [
    pytest.mark.contract,
    pytest.mark.skipif(find_spec("tensorflow") is None, reason="TensorFlow is not installed"),
]
SAME = 5
"""Decoders of JPEG differ by less; a palette's places are no colours."""


def test_the_decoder_reads_what_is_not_refused_as_it_is_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.contract.tf_formats", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    gaps = json.loads(done.stdout.splitlines()[-1])
    read = {name for name, gap in gaps.items() if gap is not None and gap < SAME}
    assert read == {name for name, (_, _, found) in FILES.items() if not found}, gaps
