"""What only Keras and TensorFlow promise."""

import json
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest

from tests.contract.conftest import ROOT
from tests.contract.tf_probe import CHANGES, COPIES, SLOW_S

pytestmark = [
    pytest.mark.contract,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not find_spec("keras"), reason="keras is not installed: pip install 'bakeoff[keras]'"),
]


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.contract.tf_probe"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.mark.parametrize("framework", ["keras", "tensorflow"])
def test_arrays_come_in_another_order_in_every_epoch_and_in_the_same_by_the_same_seed(
    found: dict[str, Any], framework: str
) -> None:
    first, second, *again = found["orders"][framework]
    assert sorted(first) == pytest.approx(sorted(second), abs=1e-4)
    assert first != pytest.approx(second, abs=1e-4)
    assert again == [pytest.approx(first, abs=1e-4), pytest.approx(second, abs=1e-4)]


@pytest.mark.parametrize("change", CHANGES)
def test_tensorflow_varies_an_image_anew_in_every_epoch_and_alike_by_the_same_seed(
    found: dict[str, Any], change: str
) -> None:
    assert found["draws"][change] == {
        "epochs alike": False,
        "images alike": False,
        "seed repeats": True,
        "seeds alike": False,
    }


def test_keras_mirrors_to_either_side_independently(found: dict[str, Any]) -> None:
    assert sum(found["flips"]) == COPIES
    assert min(found["flips"]) > COPIES / 8


def test_tensorflow_rounds_moved_pixels(found: dict[str, Any]) -> None:
    assert found["complements"] == [260]


def test_idiomatic_adamw_in_keras_decays_every_variable_at_its_own_rate(found: dict[str, Any]) -> None:
    assert found["decays"]["alike"] == dict.fromkeys(found["decays"]["alike"], 1.0)
    assert found["decays"]["discriminative"] == {
        "conv/kernel": 0.01,
        "conv/bias": 0.01,
        "dense/kernel": 1.0,
        "dense/bias": 1.0,
    }


def test_keras_leaves_xla_off_in_matched_mode_and_on_the_cpu_of_a_machine_with_a_gpu(found: dict[str, Any]) -> None:
    assert found["xla"] == {
        "matched cuda": [False, False],
        "idiomatic cpu": [False, False],
        "idiomatic cuda": [True, True],
    }


@pytest.mark.parametrize("mode", ["matched", "idiomatic"])
def test_batches_taken_ahead_in_a_thread_train_keras_as_its_own_step_does_bit_for_bit(
    found: dict[str, Any], mode: str
) -> None:
    assert found["steps"][mode] == {"figures": True, "weights": True, "traces": 1, "threads": []}


def test_arrays_to_validate_on_are_read_batch_by_batch_and_never_all_at_once(found: dict[str, Any]) -> None:
    assert found["stored"]["batches"] == [21, 21, 1]
    assert found["stored"]["equal"]
    assert found["stored"]["read"] < 50


def test_training_time_in_keras_ends_with_the_last_batch(found: dict[str, Any]) -> None:
    assert min(found["validation"]) >= SLOW_S


def test_a_dropout_that_drops_nothing_trains_and_resumes_in_keras(found: dict[str, Any]) -> None:
    assert found["dropless"] == [1, 2]


def test_the_benchmarks_bare_keras_loop_is_one_call_of_fit_and_tells_its_errors(found: dict[str, Any]) -> None:
    assert found["bare"] == {"calls": 1, "positive": True, "error": "no such data"}


def test_trainings_take_no_more_of_a_gpus_memory_than_they_need(found: dict[str, Any]) -> None:
    assert found["memory"] == ["first", "second"] * 2
