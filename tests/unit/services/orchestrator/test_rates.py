from collections.abc import Callable

import pytest

from core.rates import highest_passed
from services.orchestrator.rates import MOST_POINTS, next_rate, sweep_rates


def search(within: Callable[[float], bool], capacity: float) -> dict[float, bool]:
    measured: dict[float, bool] = {}
    while (rate := next_rate(measured, capacity)) is not None:
        measured[rate] = within(rate)
    return measured


def test_a_sweep_spans_a_fifth_of_the_capacity_to_a_tenth_above_it() -> None:
    assert sweep_rates(6, 1000.0) == (200, 380, 560, 740, 920, 1100)


def test_given_rates_are_measured_once_each_in_order() -> None:
    assert sweep_rates((300.0, 100.0, 300.0), 1.0) == (100, 300)


@pytest.mark.parametrize("limit", [70.0, 333.0, 500.0, 900.0, 2_500.0])
def test_a_search_finds_the_limit_within_five_percent(limit: float) -> None:
    measured = search(lambda rate: rate <= limit, 1000.0)
    best, failed = highest_passed(measured)
    assert best is not None
    assert failed is not None
    assert best <= limit < failed <= best * 1.06
    assert len(measured) <= MOST_POINTS


def test_a_search_that_nothing_satisfies_ends() -> None:
    measured = search(lambda _: False, 1000.0)
    assert len(measured) == MOST_POINTS
    assert highest_passed(measured)[0] is None


def test_a_search_that_everything_satisfies_ends() -> None:
    assert highest_passed(search(lambda _: True, 1000.0))[1] is None


def test_a_search_goes_on_from_what_is_measured_already() -> None:
    assert next_rate({100.0: True, 400.0: False}, 1.0) == 200


def test_a_rate_that_passes_above_one_that_failed_is_luck() -> None:
    assert highest_passed({100.0: True, 200.0: False, 300.0: True}) == (100.0, 200.0)
    assert highest_passed({}) == (None, None)


def test_rates_of_a_curve_do_not_use_up_the_search() -> None:
    swept = [float(rate) for rate in range(100, 100 + 20 * MOST_POINTS, 20)]
    measured = {rate: rate < 200 for rate in swept}
    assert next_rate(measured, 1000.0) is None
    found = next_rate(measured, 1000.0, swept)
    assert found is not None
    assert 180 < found < 200
