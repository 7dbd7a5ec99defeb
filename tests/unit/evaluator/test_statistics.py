import numpy as np
import pytest

from core.schemas.summary import Group, SeedAccuracy
from evaluator import statistics
from evaluator.statistics import corrected, mean_interval, seed_test


def group(*accuracies: float) -> Group:
    return Group(
        arm="matched",
        mode="matched",
        framework="keras",
        seeds=tuple(SeedAccuracy(seed=i, accuracy=a, interval=(a, a)) for i, a in enumerate(accuracies)),
        accuracy=statistics.spread(accuracies),
        training_seconds=None,
    )


def test_spread_is_mean_sample_deviation_and_extremes() -> None:
    found = statistics.spread([0.97, 0.98, 0.99])
    assert found is not None
    assert (found.count, found.minimum, found.maximum) == (3, 0.97, 0.99)
    assert found.mean == pytest.approx(0.98)
    assert found.std == pytest.approx(0.01)


def test_one_value_has_no_deviation_and_no_value_no_spread() -> None:
    single = statistics.spread([0.5])
    assert single is not None
    assert single.std is None
    assert statistics.spread([]) is None


@pytest.mark.parametrize(
    ("second", "expected"), [((0.97, 0.99), True), ((0.95, 0.96), True), ((0.98, 0.99), False), ((0.1, 0.2), False)]
)
def test_intervals_overlap_when_they_share_a_value(second: tuple[float, float], expected: bool) -> None:
    assert statistics.overlap((0.96, 0.975), second) is expected
    assert statistics.overlap(second, (0.96, 0.975)) is expected


def test_a_difference_within_the_spread_of_seeds_is_called_no_difference() -> None:
    groups = [group(0.970, 0.980), group(0.972, 0.981)]
    apart, repeat = statistics.between_frameworks(groups), statistics.between_seeds(groups)
    assert apart == pytest.approx(0.0015)
    assert repeat == pytest.approx(0.01)
    assert "no difference shown" in statistics.finding(apart, repeat)


def test_a_difference_beyond_the_spread_of_seeds_is_called_one() -> None:
    groups = [group(0.970, 0.971), group(0.990, 0.991)]
    found = statistics.finding(statistics.between_frameworks(groups), statistics.between_seeds(groups))
    assert "2.00 points, more than the 0.10 points" in found


def test_one_seed_leaves_the_spread_unknown_and_one_framework_leaves_nothing_to_compare() -> None:
    assert "not known" in statistics.finding(statistics.between_frameworks([group(0.9), group(0.8)]), None)
    assert "nothing to compare" in statistics.finding(statistics.between_frameworks([group(0.9)]), None)


def test_the_interval_of_a_mean_is_students() -> None:
    # R: t.test(c(1, 2, 3, 4))$conf.int gives 0.4457397 and 4.5542603.
    assert mean_interval([1, 2, 3, 4]) == pytest.approx((0.4457397, 4.5542603))
    assert mean_interval([1.0]) is None


def test_paired_differences_are_tested_with_students_t() -> None:
    # R: t.test(c(0.1, 0.2, 0.4))$p.value gives 0.1180829.
    found = seed_test([0.1, 0.2, 0.4])
    assert found.p_value == pytest.approx(0.1180829, abs=1e-6)
    assert found.mean == pytest.approx(0.7 / 3)


IMAGE = 1 / 451


@pytest.mark.parametrize(
    "differences",
    [[0.0] * 3, [IMAGE] * 3, [IMAGE, 440 * IMAGE - 439 * IMAGE, 301 * IMAGE - 300 * IMAGE], [100.0, 100 + 1e-11, 100]],
)
def test_differences_without_spread_but_for_rounding_have_neither_p_value_nor_interval(
    differences: list[float],
) -> None:
    found = seed_test(differences)
    assert (found.seeds, found.p_value, found.interval) == (3, None, None)
    assert found.mean == pytest.approx(differences[0])


def test_one_image_in_a_million_is_spread() -> None:
    assert seed_test([1e-6, 2e-6, 1e-6]).p_value is not None


def test_two_seeds_have_an_interval_and_no_p_value() -> None:
    two = seed_test([0.01, 0.0101])
    assert two.p_value is None
    assert two.interval is not None
    one = seed_test([0.3])
    assert (one.p_value, one.interval) == (None, None)


def test_luck_in_few_seeds_seldom_makes_one_of_two_equal_frameworks_more_accurate() -> None:
    rng = np.random.default_rng(0)
    for seeds in (2, 3):
        draws = rng.binomial(451, 0.999, size=(2, 1000, seeds)) / 451
        tests = [seed_test([a - b for a, b in zip(*pair, strict=True)]) for pair in zip(*draws, strict=True)]
        assert sum(test.p_value is not None and test.p_value < 0.05 for test in tests) <= 60


def test_holm_corrects_only_what_was_tested() -> None:
    tests = corrected([seed_test([0.1]), seed_test([0.1, 0.2, 0.4]), seed_test([0.5, 0.6, 0.4])])
    assert tests[0].p_adjusted is None
    assert tests[1].p_adjusted == pytest.approx(tests[1].p_value)
    assert tests[2].p_adjusted == pytest.approx(2 * (tests[2].p_value or 0))
