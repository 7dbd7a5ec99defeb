"""Environments of `tools.venvs` for tests, which are skipped where one cannot be installed."""

from pathlib import Path

import pytest

from tools import venvs
from tools.venvs import MLSERVER, PERF_ANALYZER, TRITONCLIENT

__all__ = ["MLSERVER", "PERF_ANALYZER", "TRITONCLIENT", "python_with"]


def python_with(*requirements: str) -> Path:
    """The interpreter of an environment that has `requirements`; skips the test when they cannot be installed."""
    try:
        return venvs.python_with(*requirements)
    except venvs.CannotInstallError as error:
        pytest.skip(str(error))
