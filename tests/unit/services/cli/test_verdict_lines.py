"""What the terminal says when an experiment has ended, on synthetic results: TEST DATA, no figure here was measured."""

import pytest

from evaluator.summary import summarise
from services.cli.experiment import print_verdict
from tests.unit.evaluator.builder import Experiment


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> str:
    one = Experiment(frameworks=("keras", "pytorch"), seeds=(0,), load_tests=False)
    summary = summarise(one.spec, one.results, one.probabilities, one.labels)
    print_verdict(summary.model_copy(update={"claims": ("Keras is better: holds [matched]",)}))
    return capsys.readouterr().out.replace("\n", " ")


def test_the_terminal_says_what_of_a_difference_the_defaults_make(said: str) -> None:
    assert "framework or defaults? Keras − PyTorch (idiomatic / matched): " in said
    assert " points with own defaults, " in said
    assert " points matched. One seed: no verdict." in said


def test_the_terminal_says_what_became_of_the_studys_claims(said: str) -> None:
    assert "claim: Keras is better: holds [matched]" in said
