from itertools import islice

import numpy as np
import pytest
from scipy import stats

from loadtests.arrivals import poisson, schedule

S = 1_000_000_000


def test_gaps_are_exponential_with_the_mean_the_rate_asks_for():
    times = np.array(list(islice(poisson(200.0, 0, 0), 20_000))) / S
    gaps = np.diff(times, prepend=0)
    assert gaps.mean() == pytest.approx(1 / 200, rel=0.03)
    assert stats.kstest(gaps, "expon", args=(0, 1 / 200)).pvalue > 0.001


def test_the_same_seed_gives_the_same_schedule_and_another_repeat_another_one():
    first, again, other = (list(islice(poisson(50.0, 3, repeat), 10)) for repeat in (1, 1, 2))
    assert first == again != other


def test_a_schedule_ends_with_its_duration():
    times = schedule(100.0, 0, 0, 1.0, 2.0, 0)
    assert times == sorted(times)
    assert times[-1] < 3 * S
    assert next(t for t in poisson(100.0, 0, 0) if t > times[-1]) >= 3 * S


def test_a_schedule_goes_on_until_enough_queries_lie_after_the_warm_up():
    times = schedule(100.0, 0, 0, 1.0, 2.0, 1_000)
    assert sum(t >= S for t in times) == 1_000
    assert times[-1] > 3 * S


def test_a_window_does_not_grow_for_ever_where_the_rate_is_low():
    times = schedule(0.1, 0, 0, 0.0, 1.0, 1_000)
    assert len(times) < 120
    assert times[-1] < 600 * S


def test_a_rate_too_low_for_a_single_query_gives_an_empty_schedule():
    assert schedule(1e-6, 0, 0, 0.0, 0.1, 0) == []
