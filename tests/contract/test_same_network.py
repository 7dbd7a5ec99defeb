"""Proof that all frameworks train the same network."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.contract import networks
from tests.contract.conftest import Answers, Probes
from trainer.architectures import ARCHITECTURES, FAMILIES, get_architecture

pytestmark = [pytest.mark.contract, pytest.mark.timeout(2700)]

EXACT = 1e-7
"""Of each tensor's largest value, in float64."""
NOTHING = 1e-13
"""Of the largest value of all tensors: what rounding leaves of a zero, such as the gradient of a bias before a norm."""
NETWORKS = networks.CASES | networks.FULL
STEPPED = [(*stepped, steps) for stepped in networks.STEPPED for steps in networks.STEPS]
every_case = pytest.mark.parametrize("case", networks.CASES)


def difference(one: NDArray[Any], other: NDArray[Any], nothing: float = 0.0) -> float:
    """Largest difference as a share of the largest value; 0 where no value is larger than `nothing`."""
    largest = max(np.abs(one).max(), np.abs(other).max())
    return float(np.abs(one - other).max() / largest) if largest > nothing else 0.0


def worst(all_answers: list[Answers], name: str) -> list[str]:
    """Every pair of frameworks and tensor below `name` that differ by more than EXACT, one line each."""
    found = []
    for one, other in combinations(all_answers, 2):
        tensors, others = one.below(name), other.below(name)
        assert tensors, f"{one.framework} computed nothing for {name}"
        assert tensors.keys() == others.keys()
        nothing = NOTHING * max(np.abs(tensor).max() for tensor in tensors.values())
        gaps = {key: difference(tensors[key], others[key], nothing) for key in tensors}
        found += [
            f"{one.framework} and {other.framework}: {key} by {gap:.1e}"
            for key, gap in gaps.items()
            if not gap <= EXACT
        ]
    return found


def test_every_architecture_of_the_registry_is_among_the_cases() -> None:
    assert [name for name in ARCHITECTURES if networks.TWINS.get(name, name) not in networks.CASES] == []
    assert all(any(family.name.claims(name) for name in networks.CASES) for family in FAMILIES)


@pytest.mark.parametrize("case", NETWORKS)
def test_float64_logits_are_equal_in_all_frameworks(probes: Probes, case: str) -> None:
    for one, other in combinations(probes.all(), 2):
        logits = [each.arrays[f"{case}/float64/logits"] for each in (one, other)]
        assert [array.dtype for array in logits] == [np.float64, np.float64]
        assert difference(logits[0], logits[1]) <= EXACT, (one.framework, other.framework)


@pytest.mark.parametrize("case", NETWORKS)
def test_float64_gradients_are_equal_in_all_frameworks(probes: Probes, case: str) -> None:
    assert worst(probes.all(), f"{case}/float64/gradients") == []


@every_case
def test_gradients_cover_exactly_the_trainable_weights(answers: Answers, case: str) -> None:
    expected = {key: p.shape for key, p in networks.CASES[case].parameters.items() if p.trainable}
    gradients = answers.below(f"{case}/float64/gradients")
    assert {key: value.shape for key, value in gradients.items()} == expected
    # One weight whose gradient is zero everywhere would make every comparison of it empty.
    assert [key for key, value in gradients.items() if key.endswith("kernel") and not value.any()] == []


@pytest.mark.parametrize(("case", "optimizer", "steps"), STEPPED)
def test_float64_weights_after_matched_steps_are_equal(probes: Probes, case: str, optimizer: str, steps: int) -> None:
    assert worst(probes.all(), f"{case}/{optimizer}/{steps}") == []


@pytest.mark.parametrize(("case", "optimizer", "steps"), STEPPED)
def test_matched_steps_change_every_kernel(answers: Answers, case: str, optimizer: str, steps: int) -> None:
    before, after = networks.weights(NETWORKS[case]), answers.below(f"{case}/{optimizer}/{steps}")
    assert before.keys() == after.keys()
    assert [key for key in before if key.endswith("kernel") and np.array_equal(before[key], after[key])] == []


@every_case
def test_float64_weights_after_an_epoch_with_a_partial_batch_are_equal(probes: Probes, case: str) -> None:
    assert worst(probes.all(), f"{case}/epoch") == []


@every_case
def test_metrics_of_a_matched_epoch_are_equal(probes: Probes, case: str) -> None:
    names = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
    metrics = {each.framework: each.facts[f"{case}/epoch"]["metrics"][0] for each in probes.all()}
    for one, other in combinations(metrics, 2):
        for name in names:
            assert metrics[one][name] == pytest.approx(metrics[other][name], rel=1e-5), (one, other, name)


@every_case
def test_float32_logits_agree_and_the_first_loss_is_equal(probes: Probes, case: str) -> None:
    for one, other in combinations(probes.all(), 2):
        logits = [each.arrays[f"{case}/float32/logits"] for each in (one, other)]
        losses = [each.facts[f"{case}/float32"]["loss"] for each in (one, other)]
        assert np.abs(logits[0] - logits[1]).max() <= 1e-4, (one.framework, other.framework)
        assert losses[0] == pytest.approx(losses[1], rel=1e-5), (one.framework, other.framework)


@every_case
def test_each_framework_counts_the_parameters_that_were_computed(answers: Answers, case: str) -> None:
    architecture = networks.CASES[case]
    trainable = architecture.count(trainable=True)
    assert answers.facts[f"{case}/float32"]["counts"] == [trainable + architecture.count(trainable=False), trainable]


def test_cnn5_has_the_parameters_of_its_study_at_full_size(answers: Answers) -> None:
    assert answers.facts["cnn5-full/float64"]["counts"] == [951_489, 950_401]
    assert get_architecture("cnn5").count(trainable=True) == 950_401


@every_case
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_canonical_weights_come_back_as_given_and_inspecting_leaves_them(
    answers: Answers, case: str, dtype: str
) -> None:
    assert answers.facts[f"{case}/{dtype}"]["round_trip"]


@pytest.mark.parametrize("case", networks.PLAIN_CASES)
def test_the_loss_is_the_mean_of_minus_log_probability_of_the_label(answers: Answers, case: str) -> None:
    architecture = networks.CASES[case]
    logits = answers.arrays[f"{case}/float64/logits"]
    labels = networks.images(architecture, networks.BATCH, "inspect").labels
    sigmoid = 1.0 / (1.0 + np.exp(-logits))
    share = np.concatenate([1.0 - sigmoid, sigmoid], axis=1) if architecture.head == "sigmoid" else sigmoid
    share = share / share.sum(axis=1, keepdims=True)
    # The one matched batch holds all images in their own order.
    expected = -np.log(share[np.arange(len(labels)), labels]).mean()
    assert answers.facts[f"{case}/float64"]["loss"] == pytest.approx(expected, rel=1e-9)
