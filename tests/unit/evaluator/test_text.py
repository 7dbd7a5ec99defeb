import pytest

from evaluator import text


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0"), (0.0123456, "0.0123"), (0.5, "0.500"), (3.14159, "3.14"), (99.96, "100.0"), (12345.6, "12,346")],
)
def test_figures_keep_three_significant_digits(value: float, expected: str) -> None:
    assert text.significant(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0.42, "0.420 s"), (59.94, "59.9 s"), (245, "4 min 05 s"), (3725, "1 h 02 min")]
)
def test_durations_use_the_unit_people_would(value: float, expected: str) -> None:
    assert text.seconds(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (57_000, "55.7 KiB"), (5 << 30, "5.00 GiB")],
)
def test_sizes_are_binary(value: int, expected: str) -> None:
    assert text.size(value) == expected


def test_lists_read_as_english() -> None:
    assert text.names(()) == ""
    assert text.names(("a",)) == "a"
    assert text.names(("a", "b", "c")) == "a, b and c"


def test_counts_agree_with_their_noun() -> None:
    assert [text.count(n, "class", "classes") for n in (0, 1, 2000)] == ["0 classes", "1 class", "2,000 classes"]


def test_points_have_a_sign_where_they_are_compared() -> None:
    assert [text.bare_points(value) for value in (0.021, 0, -0.021)] == ["+2.10", "+0.00", "-2.10"]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.0, "p < 0.001"),
        (0.034, "p = 0.034"),
        (0.0496, "p = 0.0496"),
        (0.0501, "p = 0.05"),
        (0.04999, "p = 0.04999"),
        (0.05, "p = 0.05"),
        (1.0, "p = 1"),
    ],
)
def test_a_p_value_is_not_rounded_over_the_limit(value: float, told: str) -> None:
    assert text.p_value(value) == told
