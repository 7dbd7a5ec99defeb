import pytest

from services.serving.statistics import Histogram


def test_a_value_on_a_bound_belongs_to_the_bucket_below():
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 9.0):
        histogram.observe(value)
    assert histogram.buckets() == [("1.0", 2), ("2.0", 4), ("+Inf", 5)]
    assert histogram.sum == pytest.approx(14.0)


def test_an_empty_histogram_has_all_its_buckets():
    assert Histogram((1.0,)).buckets() == [("1.0", 0), ("+Inf", 0)]
