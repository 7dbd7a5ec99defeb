from services.cli.loadtest import conclusions, rows
from tests.unit.evaluator.test_loads import result


def test_repeats_that_do_not_count_are_left_out_and_named() -> None:
    measured = [result([1.0]), result([3.0]), result([100.0], contended=True)]
    (row,) = rows(measured)
    assert (row["runs"], row["p50 ms"]) == (2, "2.00 (1.00–3.00)")
    (line,) = conclusions(measured)
    assert line.startswith("does not count: ")
    assert line.endswith(": it overlapped with other timed work")


def test_where_no_repeat_counts_all_are_shown() -> None:
    (row,) = rows([result([1.0], contended=True), result([3.0], contended=True)])
    assert (row["runs"], row["p50 ms"]) == (2, "2.00 (1.00–3.00)")
