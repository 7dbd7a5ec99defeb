"""Refuses a load test whose server, model and data do not fit together, before the first measured request."""

import numpy as np
from numpy.typing import NDArray

from core.errors import NotReadyError, WrongStateError
from services.client.checks import check_tensors, find_tensor
from services.client.inference import InferenceClient
from services.client.tensors import INPUT

SUM_TOLERANCE = 1e-3


def check_live(client: InferenceClient) -> None:
    """Raises NotReadyError naming the target where no inference server answers there."""
    if not client.is_live():
        raise NotReadyError(f"no inference server answers at {client.target}; start one there, or correct --target")


def input_shape(client: InferenceClient, model: str, version: int | None) -> tuple[int, int, int]:
    """Height, width and channels the served model takes. WrongStateError unless its metadata fixes all three."""
    shape = find_tensor(client.model_metadata(model, version).inputs, INPUT, model, "UINT8", 4).shape
    if min(shape[1:]) < 1:
        raise WrongStateError(f"model {model!r} takes images of any size {list(shape)}; name prepared data to send")
    return shape[1], shape[2], shape[3]


def check_model(
    client: InferenceClient, model: str, version: int | None, shape: tuple[int, int, int], classes: int
) -> None:
    """Compares the served model's metadata with the data.

    Raises:
        NotReadyError: the model is not ready.
        WrongStateError: other input shape, type or number of classes; says both.
    """
    label = model if version is None else f"{model} version {version}"
    if not client.model_ready(model, version):
        raise NotReadyError(f"model {label} is not ready at {client.target}; load it, or wait until it is")
    check_tensors(client.model_metadata(model, version), label, shape, classes)


def check_answer(
    client: InferenceClient, model: str, version: int | None, images: NDArray[np.uint8], classes: int
) -> None:
    """Sends one batch and looks at the reply: metadata may promise what the model does not keep.

    Args:
        images: uint8 [n, height, width, channels].

    Raises:
        WrongStateError: another number of classes, or rows that are no probabilities.
    """
    probabilities = client.predict(model, images, version).probabilities
    if probabilities.shape[1] != classes:
        raise WrongStateError(f"model {model} answers with {probabilities.shape[1]} classes, the data has {classes}")
    sums = probabilities.sum(axis=1, dtype=np.float64)
    if not np.all(np.abs(sums - 1) <= SUM_TOLERANCE):
        worst = float(sums[np.argmax(np.nan_to_num(np.abs(sums - 1), nan=np.inf))])
        raise WrongStateError(f"model {model} answers with rows that sum to {worst:.6g}, not 1: no probabilities")
