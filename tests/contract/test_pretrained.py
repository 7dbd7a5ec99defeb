"""torchvision's weights make torchvision's network in every framework."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from core.schemas.specs import FRAMEWORKS
from tests.contract import networks
from tests.contract.conftest import Answers, Probes

pytestmark = [pytest.mark.contract, pytest.mark.timeout(2700)]
DEPENDS = 0.05
"""Logits that varied less from image to image would prove little."""
PLAIN = [name for name, network in networks.TORCHVISION.items() if not network.dropouts]
LOADED = [(framework, name) for name in networks.TORCHVISION for framework in networks.LOADED_BY.get(name, FRAMEWORKS)]


@pytest.fixture
def logits(torchvision_models: Path) -> dict[str, NDArray[np.float32]]:
    """What torchvision computed."""
    if not (torchvision_models / "logits.npz").is_file():
        pytest.skip("torchvision is not installed: pip install 'bakeoff[fastai]'")
    with np.load(torchvision_models / "logits.npz") as stored:
        return dict(stored)


@pytest.mark.parametrize("name", PLAIN)
def test_training_mode_logits_are_torchvisions(
    answers: Answers, logits: dict[str, NDArray[np.float32]], name: str
) -> None:
    expected = logits[f"{name}/training"]
    assert expected.std(axis=0).max() > DEPENDS
    assert np.abs(answers.arrays[f"{name}/training"] - expected).max() <= 1e-4


@pytest.mark.parametrize(("framework", "name"), LOADED)
def test_inference_mode_logits_are_torchvisions(
    probes: Probes, logits: dict[str, NDArray[np.float32]], framework: str, name: str
) -> None:
    """VGG-11, whose training draws a dropout, here alone, and in one framework of each family: see LOADED_BY."""
    expected = logits[f"{name}/inference"].astype(np.float64)
    # The logarithm of a softmax is its logits less one number per image.
    got = np.log(probes[framework].arrays[f"{name}/inference"].astype(np.float64))
    gap = _centred(got) - _centred(expected)
    assert expected.std(axis=0).max() > DEPENDS
    assert np.abs(gap).max() <= 1e-4


def test_pth_and_safetensors_give_the_same_weights(answers: Answers, logits: object) -> None:
    assert answers.facts["same_from_pth"]


def _centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values - values.mean(axis=1, keepdims=True)
