import math
from collections.abc import Sequence

import numpy as np
import pytest

from core.schemas.names import Framework
from core.schemas.summary import Group, SeedAccuracy
from evaluator import statistics
from evaluator.statistics import corrected, mean_interval, of_one_run, seed_test


def group(*accuracies: float, framework: Framework = "keras") -> Group:
    return Group(
        arm="matched",
        mode="matched",
        framework=framework,
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


def finding(*accuracies: Sequence[float]) -> str:
    """Of Keras, PyTorch and fastai, as many as there are accuracies."""
    names: tuple[Framework, ...] = ("keras", "pytorch", "fastai")
    groups = [group(*own, framework=name) for own, name in zip(accuracies, names, strict=False)]
    return statistics.finding(groups, statistics.framework_tests(groups))


NOISY, ALIKE, BEHIND = (0.970, 0.972, 0.980), (0.972, 0.971, 0.979), (0.960, 0.963, 0.970)


def test_a_finding_describes_two_distances_and_says_what_the_paired_tests_say() -> None:
    assert finding(NOISY, ALIKE) == (
        "The frameworks’ mean accuracies lie within 0.00 points; seeds of one framework within 1.00 points. "
        "Paired t tests over seeds, corrected by Holm: no difference shown."
    )


def test_a_difference_smaller_than_the_spread_of_seeds_is_one_where_every_seed_has_it() -> None:
    assert "within 0.97 points; seeds of one framework within 1.00 points" in finding(NOISY, BEHIND)
    assert finding(NOISY, BEHIND).endswith("Holm: Keras is more accurate than PyTorch.")
    assert finding(BEHIND, NOISY).endswith("Holm: PyTorch is more accurate than Keras.")


def test_a_difference_larger_than_the_spread_of_seeds_is_none_where_the_test_shows_none() -> None:
    found = finding((0.970, 0.971, 0.985), (0.969, 0.950, 0.955))
    assert "within 1.73 points" in found
    assert found.endswith("no difference shown.")


def test_a_finding_counts_the_pairs_of_which_it_names_no_framework() -> None:
    assert finding(NOISY, BEHIND, (0.960, 0.963, 0.970)).endswith(
        "Keras is more accurate than PyTorch and fastai; "
        "the same difference in every seed, so no test for 1 of 3 pairs."
    )
    assert finding(NOISY, ALIKE, BEHIND[:2]).endswith(
        "Holm: no difference shown for 1 of 3 pairs; too few seeds for 2 of 3 pairs."
    )


def test_no_difference_is_said_of_nothing_that_was_not_tested() -> None:
    assert finding(NOISY, NOISY).endswith("Holm: the same difference in every seed, so no test.")
    for seeds in (1, 2):
        assert finding(NOISY[:seeds], ALIKE[:seeds]).endswith(
            "points. Too few seeds to tell which is more accurate: a test takes 3."
        )
    assert "seeds of one framework" not in finding(NOISY[:1], ALIKE[:1])
    assert "nothing to compare" in finding(NOISY)


def test_frameworks_without_a_common_seed_have_too_few() -> None:
    first, second = group(*NOISY), group(*ALIKE, framework="pytorch")
    later = tuple(seed.model_copy(update={"seed": seed.seed + 3}) for seed in second.seeds)
    groups = [first, second.model_copy(update={"seeds": later})]
    assert "Too few seeds" in statistics.finding(groups, statistics.framework_tests(groups))


def test_the_interval_of_a_mean_is_students() -> None:
    # R: t.test(c(1, 2, 3, 4))$conf.int gives 0.4457397 and 4.5542603.
    assert mean_interval([1, 2, 3, 4]) == pytest.approx((0.4457397, 4.5542603))
    assert mean_interval([1.0]) is None


def test_one_further_run_lies_in_a_wider_interval_than_the_mean() -> None:
    half = 3.182446 * 1.290994 * math.sqrt(1 + 1 / 4)  # Student's t of three degrees of freedom, standard deviation
    found = of_one_run(seed_test([1, 2, 3, 4]))
    assert found.interval == pytest.approx((2.5 - half, 2.5 + half), abs=1e-5)
    # Its p value is 0.05 where that interval ends at zero.
    ends = of_one_run(seed_test([one + half - 2.5 for one in (1, 2, 3, 4)]))
    assert ends.p_value == pytest.approx(0.05, abs=1e-6)
    assert of_one_run(seed_test([1.0])) == seed_test([1.0])


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
