"""A learning rate that is far too high ends a training, in every framework and mode, with the step and its loss."""

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from math import isfinite

import numpy as np
import pytest

from core.schemas.specs import FRAMEWORKS
from tests.contract import networks
from tests.contract.conftest import LIBRARIES, Answers, Probes, run_python
from tests.contract.divergence_probe import RATES, STEPS

pytestmark = [pytest.mark.contract, pytest.mark.timeout(2700)]
ADVICE = "; lower recipe.optimizer.learning_rate (now {})"


@pytest.fixture(scope="module")
def diverged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probes]:
    """Every installed framework's endings, two frameworks at a time."""

    def probe(framework: str) -> Answers:
        folder = tmp_path_factory.mktemp(f"divergence-{framework}")
        run_python("tests.contract.divergence_probe", framework, str(folder))
        return Answers(framework, folder, {}, json.loads((folder / "facts.json").read_text()))

    with ThreadPoolExecutor(max_workers=2) as pool:
        running: dict[str, Future[Answers]] = {
            name: pool.submit(probe, name) for name in FRAMEWORKS if find_spec(LIBRARIES[name])
        }
        yield Probes(running)


@pytest.fixture(params=FRAMEWORKS)
def one(request: pytest.FixtureRequest, diverged: Probes) -> Answers:
    """Each framework in turn."""
    return diverged[request.param]


@pytest.mark.parametrize("mode", networks.MODES)
def test_the_first_step_whose_loss_is_not_finite_is_named_with_that_loss(one: Answers, mode: str) -> None:
    found = one.facts[f"{mode}/explodes"]
    step, loss = next((step, loss) for step, loss in enumerate(found["losses"], 1) if not isfinite(loss))
    assert 1 < step < STEPS / 2
    told = f"training diverged: loss {loss} at epoch 1, step {step} of {STEPS}"
    assert found["ended"] == told + ADVICE.format(RATES["explodes"])


@pytest.mark.parametrize("mode", networks.MODES)
def test_a_training_that_gets_lost_far_away_fails_though_its_losses_may_be_finite(one: Answers, mode: str) -> None:
    found = one.facts[f"{mode}/rises"]
    losses = found["losses"][:STEPS]
    assert found["ended"].endswith(ADVICE.format(RATES["rises"]))
    if np.isfinite(losses).all():
        mean = float(found["ended"].split()[3])
        assert mean == pytest.approx(np.mean(losses), rel=1e-4)
        assert (
            f"loss {mean:.6g} at epoch 1, step {STEPS} of {STEPS} is the epoch's mean, more than 1000 times the"
            in found["ended"]
        )
        assert f" {losses[0]:.6g} it began with" in found["ended"]


@pytest.mark.parametrize("mode", networks.MODES)
def test_a_training_that_learns_is_left_alone(one: Answers, mode: str) -> None:
    assert one.facts[f"{mode}/learns"]["ended"] == "succeeded"
