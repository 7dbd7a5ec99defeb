"""What `bakeoff lr-find` is asked for."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.main import app

DIGITS = Path(__file__).parents[4] / "experiments/digits.yaml"


@pytest.mark.parametrize("span", [("1e-7", "inf"), ("1e-7", "nan"), ("nan", "1"), ("0", "1"), ("1", "1"), ("2", "1")])
def test_rates_that_span_nothing_are_refused_before_anything_starts(span: tuple[str, str]) -> None:
    lowest, highest = span
    ended = CliRunner().invoke(app, ["lr-find", str(DIGITS), "--lowest", lowest, "--highest", highest])
    assert ended.exit_code == 2
    assert f"must be above 0 and below --highest {highest}, both finite" in ended.stderr
