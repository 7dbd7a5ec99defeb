"""Proof that every optimiser, schedule and objective is the same arithmetic in all frameworks, in float64."""

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from itertools import combinations
from math import cos, pi

import numpy as np
import pytest

from core.schemas.specs import FRAMEWORKS
from tests.contract import networks
from tests.contract import training_cases as cases
from tests.contract.conftest import LIBRARIES, Answers, Probes, run_python
from tests.contract.test_same_network import worst

pytestmark = [pytest.mark.contract, pytest.mark.timeout(2700)]
TRAINED = [
    f"{name}/{steps}" for name, keys in cases.OPTIMIZERS.items() for steps in (1, 10) if steps > 1 or "l2" not in keys
]
TRAINED += [f"{name}/10" for name in cases.TEN_STEPS]
SCHEDULED = [f"sgd-{name}" for name in cases.SCHEDULES]
CHANGING = [("sgd", "sgd-l2"), *((cases.PLAIN, name) for name in (*SCHEDULED, "balanced", "augmented"))]
"""A recipe, and one that asks for one thing more on the same images."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probes]:
    """Every installed framework's weights, two frameworks at a time."""

    def probe(framework: str) -> Answers:
        folder = tmp_path_factory.mktemp(f"training-{framework}")
        run_python("tests.contract.training_probe", framework, str(folder))
        with np.load(folder / "arrays.npz") as stored:
            return Answers(framework, folder, dict(stored), json.loads((folder / "facts.json").read_text()))

    with ThreadPoolExecutor(max_workers=2) as pool:
        running: dict[str, Future[Answers]] = {
            name: pool.submit(probe, name) for name in FRAMEWORKS if find_spec(LIBRARIES[name])
        }
        yield Probes(running)


@pytest.fixture(params=FRAMEWORKS)
def one(request: pytest.FixtureRequest, trained: Probes) -> Answers:
    """Each framework in turn."""
    return trained[request.param]


@pytest.mark.parametrize("case", TRAINED)
def test_float64_weights_are_equal_in_all_frameworks(trained: Probes, case: str) -> None:
    assert worst(trained.all(), case) == []


@pytest.mark.parametrize("case", cases.TEN_STEPS)
def test_losses_of_every_epoch_are_equal_in_all_frameworks(trained: Probes, case: str) -> None:
    for one, other in combinations(trained.all(), 2):
        for name in ("losses", "validation_losses"):
            # Some frameworks add losses up in float32.
            assert one.facts[case][name] == pytest.approx(other.facts[case][name], rel=1e-5)


@pytest.mark.parametrize(("plainly", "case"), CHANGING)
def test_what_a_recipe_asks_for_changes_the_weights(one: Answers, plainly: str, case: str) -> None:
    plain, changed = one.below(f"{plainly}/10"), one.below(f"{case}/10")
    assert [key for key in plain if key.endswith("kernel") and np.array_equal(plain[key], changed[key])] == []


def test_frozen_layers_keep_every_bit_batch_norm_included(one: Answers) -> None:
    found = one.facts["frozen-throughout"]
    assert found["fixed"]
    assert not set(found["fixed"]) & set(found["moved"])
    assert {key for key in found["moved"] if key.endswith("kernel")} == {
        "residual1.body.conv1/kernel", "dense1/kernel", "dense2/kernel",
    }  # fmt: skip


def test_gradual_unfreezing_ends_with_everything_trained(one: Answers) -> None:
    kernels = [key for key in cases.NETWORK.parameters if key.endswith("kernel")]
    assert set(kernels) <= set(one.facts["gradual-unfreezing"]["moved"])


@pytest.mark.parametrize("case", cases.RESUMED)
def test_a_resumed_training_goes_on_with_rates_moments_and_stages_bit_for_bit(one: Answers, case: str) -> None:
    assert one.facts[case]["resumed"] == [True] * len(cases.RESUMED[case])


@pytest.mark.parametrize("framework", cases.EXACT)
@pytest.mark.parametrize("case", cases.OWN_RESUMED)
def test_so_does_one_with_the_own_schedules_and_stages_of_torch(trained: Probes, framework: str, case: str) -> None:
    assert trained[framework].facts[case]["resumed"] == [True] * len(cases.OWN_RESUMED[case])


@pytest.mark.parametrize("case", cases.IDIOMATIC)
def test_each_frameworks_own_classes_train_by_the_recipe(one: Answers, case: str) -> None:
    assert one.facts[case]["finite"]
    weights = one.below(f"{case}/10")
    others = [one.below(f"{name}/10") for name in cases.IDIOMATIC if name != case]
    assert all(not np.array_equal(weights["conv1/kernel"], other["conv1/kernel"]) for other in others)


def half_cosine(start: float, end: float, position: float) -> float:
    return end + (start - end) * (1 + cos(pi * position)) / 2


def by_epoch(*shares: float) -> list[float]:
    return [share for share in shares for _ in range(2)]


RATES = {
    "constant": [1.0] * 10,
    "step": by_epoch(1, 1, 0.3, 0.3, 0.09),
    "cosine": [half_cosine(1, 0.1, t / 10) for t in range(10)],
    "exponential": [0.05 ** (t / 10) for t in range(10)],
    "one-cycle": [
        half_cosine(0.04, 1, t / 2.5) if t < 2.5 else half_cosine(1, 1e-5, (t - 2.5) / 7.5) for t in range(10)
    ],
    "plateau": by_epoch(1, 1, 0.5, 0.25, 0.125),
    "ramp": [1000 ** (t / 10) for t in range(10)],
}
"""Shares of the learning rate in ten steps, two an epoch, written out once more from docs/training.md."""
OWN_RATES = {
    # CosineAnnealingLR has a step an epoch.
    "pytorch/cosine": by_epoch(*(half_cosine(1, 0.1, epoch / 5) for epoch in range(5))),
    # OneCycleLR: up until step 0.25 · 10 − 1, its end at the last step.
    "pytorch/one-cycle": [
        half_cosine(0.04, 1, t / 1.5) if t < 1.5 else half_cosine(1, 1e-5, (t - 1.5) / 7.5) for t in range(10)
    ],
    # ReduceLROnPlateau waits one epoch longer.
    "pytorch/plateau": by_epoch(1, 1, 1, 0.5, 0.5),
    # CosineDecay: a straight warm-up of whole steps.
    "keras/one-cycle": [0.04, 0.52, *(half_cosine(1, 1e-5, t / 8) for t in range(8))],
}
"""Where a framework's own classes do otherwise."""


@pytest.mark.parametrize("schedule", cases.SEEN)
@pytest.mark.parametrize("mode", ["matched", "idiomatic"])
def test_every_step_moves_the_weights_by_the_rate_of_the_schedule(one: Answers, mode: str, schedule: str) -> None:
    own = OWN_RATES.get(f"{one.framework}/{schedule}") if mode == "idiomatic" else None
    assert one.facts["rates"][f"{mode}/{schedule}"] == pytest.approx(own or RATES[schedule], rel=3e-3, abs=1e-4)


def test_freezing_without_a_rate_starts_at_what_the_framework_has_for_it(one: Answers) -> None:
    kernels = {rate: one.below(f"fine-tuned-{rate}/10")["dense2/kernel"] for rate in ("default", 0.001, 0.002)}
    expected, other = (0.002, 0.001) if one.framework == "fastai" else (0.001, 0.002)
    assert np.array_equal(kernels["default"], kernels[expected])
    assert not np.array_equal(kernels["default"], kernels[other])


def test_a_checkpoint_of_another_architecture_is_refused(one: Answers) -> None:
    assert "from another architecture" in one.facts["foreign checkpoint"]


def test_bfloat16_trains_in_reduced_precision_and_leaves_a_float32_model(one: Answers) -> None:
    whole, found = one.facts["float32"], one.facts["bfloat16"]
    assert found["dtypes"] == ["float32"]
    assert found["loss"] != whole["loss"]
    assert found["loss"] == pytest.approx(whole["loss"], rel=0.05)
    assert max(found["predicts"], found["serves"]) <= 1e-5


def test_bfloat16_moves_the_weights_where_float32_does(one: Answers) -> None:
    before, whole, found = networks.weights(cases.NETWORK), one.below("float32/10"), one.below("bfloat16/10")
    for key in (key for key in before if key.endswith("kernel")):
        moved = whole[key] - before[key]
        assert np.abs(found[key] - whole[key]).max() < 0.5 * np.abs(moved).max(), key
