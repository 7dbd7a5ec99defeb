"""What all tests share."""

from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[1] / "../shared/data"


@pytest.fixture(scope="session")
def samples() -> Path:
    """Real samples of the five data sets; tests that need them are skipped where they are absent."""
    if not SAMPLES.is_dir():
        pytest.skip(f"no sample data in {SAMPLES}")
    return SAMPLES.resolve()
