"""Stages of a training: what is fixed, and how fast the rest learns."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from core.errors import InvalidInputError
from core.schemas.metrics import EpochMetrics
from core.schemas.recipe import Recipe
from trainer.architectures import get_architecture
from trainer.framework import State
from trainer.phases import fixed_norms, phases, rate_groups, remaining
from trainer.pretrained import torchvision_names

RESNET = get_architecture("resnet18", (64, 64, 3), 10)
GRADUAL = [{"until": "head", "epochs": 1}, {"until": "residual7", "epochs": 2}]


def recipe(epochs: int = 6, **keys: Any) -> Recipe:
    return Recipe.model_validate({"mode": "matched", "epochs": epochs, **keys})


class Callbacks:
    resume: State | None = None
    each_step: Callable[[float], None] | None = None
    stopped = False
    history: Sequence[EpochMetrics] = ()

    def __init__(self, resume_epoch: int = 0) -> None:
        self.resume_epoch = resume_epoch

    def step(self, epoch: int, done: int, total: int, loss: float | None) -> None: ...

    def epoch(self, metrics: EpochMetrics, state: Any) -> None: ...


def test_without_freezing_there_is_one_phase_in_which_everything_learns_alike() -> None:
    (phase,) = phases(recipe(), RESNET)
    assert (phase.first, phase.last, phase.whole) == (1, 6, True)
    assert fixed_norms(RESNET, phase) == ()


def test_each_stage_thaws_more_and_then_everything_learns() -> None:
    head, last_blocks, everything = phases(recipe(freeze=GRADUAL), RESNET)
    assert [(p.first, p.last) for p in (head, last_blocks, everything)] == [(1, 1), (2, 3), (4, 6)]
    assert not head.trains("residual8.body.conv1/kernel")
    assert head.trains("dense1/bias")
    assert last_blocks.trains("residual7.body.conv1/kernel")
    assert not last_blocks.trains("residual6.shortcut.conv1/kernel")
    assert everything.whole


def test_batch_norms_of_fixed_layers_are_fixed() -> None:
    head, last_blocks, everything = phases(recipe(freeze=GRADUAL), RESNET)
    assert len(fixed_norms(RESNET, head)) == 20
    assert "residual7.body.batchnorm1" not in fixed_norms(RESNET, last_blocks)
    assert fixed_norms(RESNET, everything) == ()


def test_discriminative_rates_are_even_on_a_log_scale_between_the_cuts() -> None:
    *_, everything = phases(recipe(freeze=GRADUAL, discriminative=100), RESNET)
    shares = [everything.share(path) for path in ("conv1", "residual6", "residual7.body.conv1/kernel", "dense1")]
    assert shares == pytest.approx([0.01, 0.01, 0.1, 1.0])


@pytest.mark.parametrize("name", ["resnet18", "resnet34"])
def test_a_resnet_whose_head_was_thawed_alone_has_the_three_groups_of_fastais_vision_learner(name: str) -> None:
    network = get_architecture(name, (64, 64, 3), 29)
    given = recipe(freeze={"until": "head", "epochs": 1}, discriminative=100)
    head, everything = phases(given, network)
    for key, tensor in torchvision_names(network).items():
        stage = tensor.split(".")[0]
        assert head.share(key) == float(stage == "fc"), key
        expected = {"layer3": 0.1, "layer4": 0.1, "fc": 1.0}.get(stage, 0.01)
        assert everything.share(key) == pytest.approx(expected), key


def test_other_networks_have_two_groups_where_the_head_was_thawed_alone() -> None:
    network = get_architecture("digits-cnn")
    groups = rate_groups(recipe(freeze={"until": "head", "epochs": 1}), network)
    assert [path for path, group in groups.items() if group == 1] == [network.nodes[-1].path]
    assert set(groups.values()) == {0, 1}


def test_a_training_may_stay_frozen_to_its_end() -> None:
    (phase,) = phases(recipe(2, freeze={"until": "head", "epochs": 2}), RESNET)
    assert (phase.last, phase.whole) == (2, False)


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        ([{"until": "layer4", "epochs": 1}], "'layer4' is no layer of resnet18's trunk; layers: conv1, "),
        ([{"until": "conv1", "epochs": 1}], "leaves nothing to freeze"),
        ([{"until": "residual7", "epochs": 1}, {"until": "head", "epochs": 1}], "each stage must thaw more"),
        ([{"until": "head", "epochs": 1}, {"until": "dense1", "epochs": 1}], "each stage must thaw more"),
        ([{"until": "head", "epochs": 1}, {"until": "globalpool1", "epochs": 1}], "each stage must thaw more"),
    ],
)
def test_a_stage_that_makes_no_sense_is_refused(freeze: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        phases(recipe(freeze=freeze), RESNET)


def test_a_resumed_training_goes_on_in_the_middle_of_its_phase() -> None:
    given = recipe(freeze=GRADUAL)
    left = [(phase.first, epochs) for phase, epochs in remaining(given, RESNET, Callbacks(resume_epoch=2))]
    assert left == [(2, range(3, 4)), (4, range(4, 7))]
    assert list(remaining(given, RESNET, Callbacks(resume_epoch=6))) == []


def test_a_training_that_has_stopped_has_no_phases_left() -> None:
    callbacks = Callbacks(resume_epoch=2)
    callbacks.stopped = True
    assert list(remaining(recipe(), RESNET, callbacks)) == []
