"""A search for a learning rate hears of every step of every framework's training, and ends it."""

from itertools import combinations
from math import isfinite

import numpy as np
import pytest

from tests.contract import networks
from tests.contract.conftest import Answers, Probes
from tests.contract.rate_search import SPANS, STEPS

pytestmark = [pytest.mark.contract, pytest.mark.timeout(2700)]
every_mode = pytest.mark.parametrize("mode", networks.MODES)


@every_mode
def test_a_search_has_the_loss_of_every_step_at_the_rates_it_asked_for_and_ends_inside_an_epoch(
    answers: Answers, mode: str
) -> None:
    found = answers.facts[f"searched/{mode}/learns"]
    assert found["rates"] == pytest.approx(np.geomspace(*SPANS["learns"], STEPS).tolist())
    assert len(found["losses"]) == STEPS
    assert all(map(isfinite, found["losses"]))
    assert set(found["suggested"]) <= set(found["rates"])
    assert not found["diverged"]


@every_mode
def test_a_search_whose_loss_explodes_ends_there_without_an_error(answers: Answers, mode: str) -> None:
    found = answers.facts[f"searched/{mode}/explodes"]
    assert found["diverged"]
    assert len(found["losses"]) < STEPS
    rates = np.geomspace(*SPANS["explodes"], STEPS)[: len(found["losses"])]
    assert found["rates"] == pytest.approx(rates.tolist())


def test_matched_searches_of_all_frameworks_have_the_same_losses_and_explode_at_the_same_rate(probes: Probes) -> None:
    for one, other in combinations(probes.all(), 2):
        learning, exploding = (
            [each.facts[f"searched/matched/{name}"]["losses"] for each in (one, other)] for name in SPANS
        )
        assert learning[0] == pytest.approx(learning[1], rel=1e-3), (one.framework, other.framework)
        assert abs(len(exploding[0]) - len(exploding[1])) <= 1, (one.framework, other.framework)
