"""What only the torch family promises."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.contract import training_cases as cases
from tests.contract.conftest import ROOT, Probes
from tests.contract.test_matched_training import half_cosine

pytestmark = [pytest.mark.contract, pytest.mark.timeout(2700)]


@pytest.fixture(scope="module")
def found(probes: Probes, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    program = probes["fastai"].folder / "digits-cnn" / "exported_program.pt2"
    command = [sys.executable, "-m", "tests.contract.torch_probe", str(program), str(tmp_path_factory.mktemp("torch"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_a_tampered_program_is_refused_and_runs_no_code(found: dict[str, Any]) -> None:
    assert "tampered.pt2" in found["tampered"]["refused"]
    assert not found["tampered"]["ran"]


def test_a_fastai_user_gets_the_same_probabilities_and_the_classes_from_the_learner(found: dict[str, Any]) -> None:
    assert found["learner"]["gap"] <= 1e-6
    assert found["learner"]["classes"] == list("9876543210")
    assert found["learner"]["predicted"] == found["learner"]["expected"]


def test_what_is_left_to_fastai_has_the_figures_of_its_signatures(found: dict[str, Any]) -> None:
    assert found["defaults"]["ours"] == found["defaults"]["fastai"]


def test_numbers_left_open_are_fastais_in_the_canonical_adam_too(found: dict[str, Any]) -> None:
    assert found["canonical"]["open"] == {"lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-5}
    assert found["canonical"]["named"] == {"lr": 0.1, "betas": [0.9, 0.95], "eps": 1e-7}


@pytest.mark.parametrize("case", cases.CYCLES)
def test_arithmetic_switches_neither_the_rates_nor_the_momenta_of_fastais_habit(
    found: dict[str, Any], case: str
) -> None:
    own, shared = found["cycles"][case].values()
    assert len(own) == len(shared) == 2 * cases.EPOCHS
    for step, other in zip(own, shared, strict=True):
        assert step == pytest.approx(other)


def test_a_cycle_gives_sgd_no_momentum_that_the_recipe_does_not_name(found: dict[str, Any]) -> None:
    momenta = {case: {momentum for _, momentum in found["cycles"][case]["shared"]} for case in ("sgd", "sgd-momentum")}
    assert momenta == {"sgd": {0.0}, "sgd-momentum": {0.9}}


def test_frozen_layers_that_thaw_have_the_cycles_of_fine_tune_and_others_the_plain_one(found: dict[str, Any]) -> None:
    def cycle(steps: int, peak: float, div: float, rise: float) -> list[float]:
        up = [half_cosine(peak / div, peak, share / rise) for step in range(steps) if (share := step / steps) < rise]
        places = [step / steps for step in range(len(up), steps)]
        return up + [half_cosine(peak, peak / 1e5, (place - rise) / (1 - rise)) for place in places]

    plain = cycle(10, 1e-3, 25, 0.25)
    tuned = [*cycle(2, 2e-3, 25, 0.99), *cycle(4, 2e-3, 25, 0.99), *cycle(4, 1e-3, 5, 0.3)]
    for case, expected in (("plain", plain), ("frozen-throughout", plain), ("unfreezing", tuned)):
        assert [rate for rate, _ in found["cycles"][case]["framework"]] == pytest.approx(expected, rel=1e-4), case


def test_fastai_vision_imports_beside_a_cpu_build_of_torch(found: dict[str, Any]) -> None:
    assert found["vision"].startswith("torchvision")


def test_torchs_cosine_ends_at_the_same_share_of_every_groups_rate(found: dict[str, Any]) -> None:
    shares = [0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * epoch / 4)) for epoch in range(4)]
    for epoch, rates in enumerate(found["cosine"]):
        assert rates == pytest.approx([shares[epoch], 0.01 * shares[epoch]])


def test_torchs_cycle_may_rise_for_exactly_one_step(found: dict[str, Any]) -> None:
    first, second, *_, last = found["one-cycle"]
    assert first == pytest.approx([0.5, 0.005])
    assert second[0] > last[0] == pytest.approx(0.1)


def test_every_group_that_learns_has_fastais_rate_until_everything_does(found: dict[str, Any]) -> None:
    """Those that are frozen have a tenth, as by fastai, which trains their batch norms."""
    for ratio, whole in (("1", [0.01, 0.01, 0.01]), ("100", [0.0001, 0.001, 0.01])):
        rates = found["stages"][ratio]
        assert rates[:2] == [[0.001, 0.001, 0.01], [0.001, 0.01, 0.01]]
        assert rates[2] == pytest.approx(whole)


def test_a_resnet_whose_head_is_thawed_alone_is_split_as_fastais_vision_learner_splits_it(
    found: dict[str, Any],
) -> None:
    resnet = found["resnet"]
    assert resnet["ours"] == resnet["fastai"]
    assert resnet["ours"][0] == 3
    assert resnet["frozen"] == [2, 0]


def test_a_fastai_optimizer_goes_on_where_its_network_is(found: dict[str, Any]) -> None:
    assert found["restored"] == "meta, step 3"


def test_convolutions_compute_in_torchs_default_memory_but_in_matched_networks_without_batch_norm(
    found: dict[str, Any],
) -> None:
    plain, last = [True, False], [False, True]
    assert found["memory"] == {
        "matched/cifar-cnn3": last,
        "matched/residual": plain,
        "idiomatic/cifar-cnn3": plain,
        "idiomatic/residual": plain,
    }


def test_both_modes_export_the_same_graph(found: dict[str, Any]) -> None:
    matched, idiomatic = found["graphs"]
    assert matched == idiomatic


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="worker processes pass their batches through /dev/shm")
def test_originals_are_decoded_by_the_default_number_of_workers_where_their_batches_have_room(
    found: dict[str, Any],
) -> None:
    workers = found["workers"]
    assert (workers["files"], workers["crowded"], workers["arrays"]) == (2, 0, 0)
    assert workers["many"] == 16, "fastai's largest default"


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="worker processes pass their batches through /dev/shm")
def test_a_number_of_workers_in_the_recipe_is_what_there_are_or_the_training_is_refused(found: dict[str, Any]) -> None:
    workers = found["workers"]
    assert (workers["named"], workers["none"]) == (1, 0)
    assert workers["refused"].startswith("recipe.workers 1 pass ")


def test_a_sigmoid_head_far_below_zero_is_exported_without_underflow(found: dict[str, Any]) -> None:
    """log(sigmoid(z)), which torch exports for logsigmoid, is minus infinity there; NaN fails the comparison too."""
    assert found["far below zero"] <= 1e-5
