"""What `bakeoff lr-find` is asked for."""

from contextlib import nullcontext
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.errors import BakeoffError, InvalidInputError
from core.schemas.names import FRAMEWORKS
from core.schemas.recipe import Recipe
from core.schemas.results import FindRateResult
from core.schemas.specs import FindRateSpec
from services.cli.main import app
from services.cli.stack import Stack
from services.orchestrator.rate_finder import RateFinder
from tests.unit.evaluator.builder import environment

DIGITS = Path(__file__).parents[4] / "experiments/digits.yaml"


@pytest.mark.parametrize("span", [("1e-7", "inf"), ("1e-7", "nan"), ("nan", "1"), ("0", "1"), ("1", "1"), ("2", "1")])
def test_rates_that_span_nothing_are_refused_before_anything_starts(span: tuple[str, str]) -> None:
    lowest, highest = span
    ended = CliRunner().invoke(app, ["lr-find", str(DIGITS), "--lowest", lowest, "--highest", highest])
    assert ended.exit_code == 2
    assert f"must be above 0 and below --highest {highest}, both finite" in ended.stderr


@pytest.fixture
def without_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No service is started: what asks them is replaced."""
    monkeypatch.setenv("BAKEOFF_HOME", str(tmp_path))
    monkeypatch.setattr(Stack, "with_services", lambda self, names: nullcontext())


def finding(monkeypatch: pytest.MonkeyPatch, errors: dict[str, BakeoffError]) -> None:
    """Replaces the finder by one that fails so in these frameworks, and finds rates in the others."""

    def find(self: RateFinder, arm: str, framework: str, span: object, seed: int) -> FindRateResult:
        if framework in errors:
            raise errors[framework]
        rates = tuple(10.0**power for power in range(-5, 0))
        spec = FindRateSpec(
            framework=framework, seed=seed, architecture="digits-cnn", data="f" * 64,
            recipe=Recipe(mode="matched", epochs=1), lowest=1e-5, highest=1e-1, steps=20,
        )  # fmt: skip
        return FindRateResult(
            run_id="r", spec=spec, environment=environment(), rates=rates, losses=(2.0,) * 5, smoothed=(2.0,) * 5,
            valley=1e-3, steep=1e-2, diverged=False, seconds=1.0,
        )  # fmt: skip

    monkeypatch.setattr(RateFinder, "find", find)


@pytest.mark.usefixtures("without_services")
def test_a_loss_that_leaves_its_bounds_in_one_framework_takes_no_other_ones_rate_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finding(monkeypatch, {"keras": InvalidInputError("the loss left all bounds after 3 steps")})
    ended = CliRunner().invoke(app, ["lr-find", str(DIGITS), "--format", "json"])
    assert ended.exit_code == 1
    assert "failed: keras: the loss left all bounds after 3 steps" in ended.stderr
    assert '"framework": "pytorch"' in ended.stdout


@pytest.mark.usefixtures("without_services")
def test_the_same_mistake_in_every_framework_is_invalid_input(monkeypatch: pytest.MonkeyPatch) -> None:
    finding(monkeypatch, dict.fromkeys(FRAMEWORKS, InvalidInputError("unknown arm 'x'")))
    ended = CliRunner().invoke(app, ["lr-find", str(DIGITS)])
    assert (ended.exit_code, ended.stderr.count("unknown arm 'x'")) == (2, 1)


@pytest.mark.usefixtures("without_services")
def test_different_failures_are_all_told(monkeypatch: pytest.MonkeyPatch) -> None:
    finding(monkeypatch, {name: BakeoffError(f"broke in {name}") for name in FRAMEWORKS})
    ended = CliRunner().invoke(app, ["lr-find", str(DIGITS)])
    assert ended.exit_code == 1
    assert all(f"failed: {name}: broke in {name}" in ended.stderr for name in ("keras", "pytorch"))
