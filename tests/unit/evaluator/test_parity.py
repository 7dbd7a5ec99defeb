import numpy as np
import pytest

from core.errors import InvalidInputError
from evaluator import parity


def test_measures_the_largest_and_mean_difference_and_counts_other_predictions() -> None:
    first = np.array([[0.6, 0.4], [0.5, 0.5], [0.1, 0.9]], np.float32)
    second = np.array([[0.4, 0.6], [0.5, 0.5], [0.1, 0.9]], np.float32)
    found = parity.compare(first, second)
    assert found.largest_difference == pytest.approx(0.2)
    assert found.mean_difference == pytest.approx(0.4 / 6)
    assert (found.disagreements, found.images) == (1, 3)


def test_equal_probabilities_differ_by_nothing() -> None:
    same = np.full((4, 3), 1 / 3, np.float32)
    assert parity.compare(same, same).largest_difference == 0


def test_float32_against_float64_is_compared_in_float64() -> None:
    exact = np.array([[1 / 3, 2 / 3]])
    assert parity.compare(exact.astype(np.float32), exact).largest_difference == pytest.approx(1.98e-8, rel=0.01)


@pytest.mark.parametrize("other", [(2, 3), (3, 2), (3, 3, 1)])
def test_refuses_other_images_or_classes(other: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInputError, match="cannot compare"):
        parity.compare(np.zeros((3, 3), np.float32), np.zeros(other, np.float32))


def test_refuses_to_compare_no_images() -> None:
    with pytest.raises(InvalidInputError, match="no images"):
        parity.compare(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32))
