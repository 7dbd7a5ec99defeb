import importlib
from typing import Any

import pytest

ROW = {"network": "mnist-cnn", "framework": "keras", "mode": "matched", "low": 0.9, "high": 1.1}


@pytest.mark.parametrize(
    ("figures", "missed"),
    [
        ({"ratio": 0.95, "waiting": 0.05}, []),
        ({"ratio": 0.949, "waiting": 0.01}, ["mnist-cnn in keras, matched: ratio 0.949 (0.90–1.10)"]),
        ({"ratio": 1.0, "waiting": 0.06}, ["mnist-cnn in keras, matched: waiting for data 6.0%"]),
        (
            {"ratio": 0.5, "waiting": 0.5},
            [
                "mnist-cnn in keras, matched: ratio 0.500 (0.90–1.10)",
                "mnist-cnn in keras, matched: waiting for data 50.0%",
            ],
        ),
    ],
)
def test_the_benchmark_of_training_says_which_goals_are_missed(figures: dict[str, Any], missed: list[str]) -> None:
    bench = importlib.import_module("tools.bench_training.__main__")
    assert list(bench.missed_goals(ROW | figures)) == missed
