"""A weight file is known by its bytes, so that another one under its path is another training."""

import hashlib
from pathlib import Path

import pytest

from core.errors import NotFoundError
from core.schemas.experiment import Experiment
from core.schemas.recipe import Pretrained
from services.orchestrator import steps
from services.orchestrator.experiment_file import read_experiment
from services.orchestrator.pretrained import pin_weights

DIGITS = Path(__file__).parents[4] / "experiments/digits.yaml"
KEY = "arms.matched.recipe.pretrained"


def experiment(*overrides: str) -> Experiment:
    return pin_weights(read_experiment(DIGITS, overrides))


def test_a_path_alone_is_enough_and_gets_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"weights")
    found = experiment(f"{KEY}={path}").arms["matched"].recipe.pretrained
    assert found == Pretrained(weights=str(path), head="replace", sha256=hashlib.sha256(b"weights").hexdigest())


def test_a_changed_file_is_another_training_and_other_arms_stay_the_same(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    planned = []
    for content in (b"one", b"two"):
        path.write_bytes(content)
        planned.append(steps.train_steps(experiment(f"{KEY}={path}"), "0" * 64, "digest"))
    changed = {a.label for a, b in zip(*planned, strict=True) if a.run_id != b.run_id}
    assert changed == {step.label for step in planned[0] if step.label.startswith("matched")}


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pth").write_bytes(b"weights")
    found = experiment(f"{KEY}=w.pth").arms["matched"].recipe.pretrained
    assert found is not None
    assert found.weights == str(tmp_path / "w.pth")


def test_a_file_that_is_not_here_is_named_with_its_arm(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=f"arms.matched.recipe.pretrained: weights unavailable: .*{tmp_path}/w.pth"):
        experiment(f"{KEY}={tmp_path}/w.pth")


@pytest.mark.parametrize("given", ["{weights: imagenet}", f"{{weights: /elsewhere/w.pth, sha256: {'a' * 64}}}"])
def test_what_carries_its_hash_is_left_as_it_is(given: str) -> None:
    plain = read_experiment(DIGITS, [f"{KEY}={given}"])
    assert pin_weights(plain) == plain


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torchvision's, with a converted file of ResNet-18."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub/checkpoints"
    folder.mkdir(parents=True)
    (folder / "resnet18-f37072fd.safetensors").write_bytes(b"weights")
    return folder


IMAGENET = (f"{KEY}={{weights: imagenet}}", "arms.matched.architecture=resnet18")


def test_a_converted_imagenet_file_gets_its_hash_and_a_replaced_one_is_another_training(cache: Path) -> None:
    planned = []
    for content in (b"one", b"two"):
        (cache / "resnet18-f37072fd.safetensors").write_bytes(content)
        found = experiment(*IMAGENET)
        pinned = Pretrained(weights="imagenet", sha256=hashlib.sha256(content).hexdigest())
        assert found.arms["matched"].recipe.pretrained == pinned
        planned.append(steps.train_steps(found, "0" * 64, "digest"))
    changed = {a.label for a, b in zip(*planned, strict=True) if a.run_id != b.run_id}
    assert changed == {step.label for step in planned[0] if step.label.startswith("matched")}


@pytest.mark.parametrize(
    "other",
    [
        "arms.matched.architecture=resnet34",
        "search={arm: matched, framework: pytorch, method: grid, space: {architecture: [resnet18, resnet34]}}",
    ],
    ids=["not in the cache", "a file for each trial"],
)
def test_imagenet_without_one_converted_file_is_left_to_the_names_of_the_originals(cache: Path, other: str) -> None:
    plain = read_experiment(DIGITS, [*IMAGENET, other])
    assert pin_weights(plain) == plain
