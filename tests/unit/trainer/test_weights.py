"""Canonical initial weights."""

import numpy as np
import pytest

from core.errors import InvalidInputError
from trainer.architectures import get_architecture
from trainer.weights import check, initial_weights

NET = get_architecture("digits-cnn")


def test_initial_weights_fit_their_architecture_and_are_float64() -> None:
    weights = initial_weights(NET, 0)
    check(weights, NET)
    assert {value.dtype for value in weights.values()} == {np.dtype(np.float64)}


def test_kernels_are_glorot_uniform_and_the_rest_is_neutral() -> None:
    weights = initial_weights(NET, 0)
    kernel = weights["conv2/kernel"]
    limit = np.sqrt(6 / (9 * 16 + 9 * 32))
    assert np.abs(kernel).max() <= limit
    assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)
    assert (weights["batchnorm1/gamma"] == 1).all()
    assert (weights["batchnorm1/moving_variance"] == 1).all()
    assert (weights["batchnorm1/moving_mean"] == 0).all()
    assert (weights["dense2/bias"] == 0).all()


def test_the_seed_decides_and_each_tensor_has_its_own_stream() -> None:
    one, same, other = (initial_weights(NET, seed) for seed in (0, 0, 1))
    for key in one:
        np.testing.assert_array_equal(one[key], same[key])
    assert (one["conv1/kernel"] != other["conv1/kernel"]).all()
    wider = initial_weights(get_architecture("digits-cnn", classes=3), 0)
    np.testing.assert_array_equal(one["dense1/kernel"], wider["dense1/kernel"])


def test_a_missing_unknown_or_misshapen_tensor_is_named() -> None:
    weights = initial_weights(NET, 0)
    with pytest.raises(InvalidInputError, match="'extra' do not belong to it"):
        check({**weights, "extra": np.zeros(1)}, NET)
    with pytest.raises(InvalidInputError, match=r"'dense2/bias' have shape \(3,\), digits-cnn expects \(10,\)"):
        check({**weights, "dense2/bias": np.zeros(3)}, NET)
    del weights["dense2/bias"]
    with pytest.raises(InvalidInputError, match="'dense2/bias' are missing"):
        check(weights, NET)
