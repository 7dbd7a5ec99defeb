import pytest

from core.errors import InvalidInputError
from services.cli.loadtest import read_plan


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sweep": 3}, "sweep: Input should be greater than or equal to 6 (got 3)"),
        ({"sweep": (100.0, -1.0)}, "sweep.1: Input should be greater than 0 (got -1.0)"),
        ({"sweep": ()}, "sweep is empty; give rates in queries per second, or a number of them from 6 on"),
        ({"search": True}, "search looks for the highest rate within bound_ms, in milliseconds; give it"),
        ({"repeats": 0, "sweep": 3}, "repeats: Input should be greater than or equal to 1 (got 0); sweep: Input"),
    ],
)
def test_a_wrong_option_is_told_in_the_users_words(given: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_plan(given)
    assert str(caught.value).startswith(f"options are not valid: {message}")
    for noise in ("constrained", "tuple", "document", "Value error"):
        assert noise not in str(caught.value)
