from fractions import Fraction
from math import ceil

import pytest
from hdrh.histogram import HdrHistogram

from core import percentiles
from core.percentiles import allowed_over, queries_needed, supported


@pytest.mark.parametrize(
    ("percentile", "over", "queries"), [(99, 0, 459), (99, 1, 662), (99, 10, 2_010), (99.9, 0, 4_603), (99.9, 1, 6_636)]
)
def test_the_queries_a_percentile_takes_are_those_of_mlperfs_early_stopping(percentile, over, queries):
    assert queries_needed(percentile, over) == queries
    assert allowed_over(queries, percentile) == over
    assert allowed_over(queries - 1, percentile) == over - 1


def test_a_percentile_is_supported_from_its_first_sufficient_query_on():
    assert [supported(n) for n in (0, 6, 7, 43, 44, 90, 458, 459, 4_603)] == [
        *(None, None, 50, 50, 90, 95, 95, 99, 99.9)
    ]


def test_many_queries_allow_almost_the_expected_number_over_the_bound():
    assert 0.97 < allowed_over(1_000_000, 99) / 10_000 < 1


@pytest.mark.parametrize("count", [1, 2, 100, 151, 459, 662, 1_000])
@pytest.mark.parametrize("percentile", ["50", "90", "95", "99", "99.9", "100"])
def test_a_percentile_is_the_value_of_the_rank_that_covers_its_share(count, percentile):
    """Values 1 to n, which the histogram keeps exactly: the value is its own rank."""
    histogram = HdrHistogram(1, 3_600_000_000, 3)
    for value in range(1, count + 1):
        histogram.record_value(value)
    assert percentiles.value_at(histogram, float(percentile)) == ceil(Fraction(percentile) * count / 100)


def test_nothing_recorded_has_no_percentile():
    assert percentiles.value_at(HdrHistogram(1, 3_600_000_000, 3), 99) == 0


def test_percentiles_are_labelled_as_people_write_them():
    assert [percentiles.label(q) for q in (50.0, 99.9)] == ["p50", "p99.9"]
