import numpy as np
import pytest

from core.errors import NotReadyError, WrongStateError
from loadtests import checks
from services.client.tensors import ModelMetadata, Prediction, Tensor

IMAGE = Tensor("image", "UINT8", (-1, 4, 5, 1))
PROBABILITIES = Tensor("probabilities", "FP32", (-1, 3))


class Server:
    """What the checks ask a client, answered from memory."""

    target = "127.0.0.1:8001"

    def __init__(self, inputs=(IMAGE,), outputs=(PROBABILITIES,), ready=True, rows=((0.25, 0.25, 0.5),)):
        self._metadata = ModelMetadata("m", ("1",), "", tuple(inputs), tuple(outputs))
        self._ready, self._rows = ready, np.array(rows, np.float32)

    def is_live(self):
        return self._ready

    def model_ready(self, name, version):
        return self._ready

    def model_metadata(self, name, version):
        return self._metadata

    def predict(self, model, images, version):
        return Prediction(self._rows)


def check_model(server: Server) -> None:
    checks.check_model(server, "m", 2, (4, 5, 1), 3)


def test_a_model_that_fits_the_data_passes():
    check_model(Server())


def test_free_dimensions_fit_anything():
    check_model(Server([Tensor("image", "UINT8", (-1, -1, -1, 1))], [Tensor("probabilities", "FP32", (-1, -1))]))


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (
            Server([Tensor("image", "UINT8", (-1, 28, 28, 1))]),
            r"takes images of \[28, 28, 1\], the data has \[4, 5, 1\]",
        ),
        (Server(outputs=[Tensor("probabilities", "FP32", (-1, 10))]), "tells 10 classes apart, the data has 3"),
        (Server([Tensor("image", "FP32", (-1, 4, 5, 1))]), r"no UINT8 tensor 'image'.*image FP32 \[-1, 4, 5, 1\]"),
        (Server([]), "has: none"),
        (Server(outputs=[Tensor("logits", "FP32", (-1, 3))]), "no FP32 tensor 'probabilities'.*logits"),
    ],
)
def test_a_model_of_other_data_is_refused_with_both_sides(server, words):
    with pytest.raises(WrongStateError, match=words):
        check_model(server)


def test_a_model_that_is_not_ready_is_refused_with_its_version_and_target():
    with pytest.raises(NotReadyError, match=r"m version 2 is not ready at 127\.0\.0\.1:8001"):
        check_model(Server(ready=False))


def test_a_silent_target_is_named():
    with pytest.raises(NotReadyError, match=r"no inference server answers at 127\.0\.0\.1:8001"):
        checks.check_live(Server(ready=False))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (((0.5, 0.5),), "2 classes, the data has 3"),
        (((0.5, 0.5, 0.5),), r"sum to 1\.5"),
        (((0.5, 0.5, 0.0), (float("nan"), 0.5, 0.5)), "sum to nan"),
        (((-1.0, -2.0, 3.5),), r"sum to 0\.5"),
    ],
)
def test_an_answer_that_is_no_probabilities_is_refused(rows, words):
    with pytest.raises(WrongStateError, match=words):
        checks.check_answer(Server(rows=rows), "m", 1, np.zeros((len(rows), 4, 5, 1), np.uint8), 3)


def test_an_answer_of_probabilities_passes():
    checks.check_answer(Server(), "m", 1, np.zeros((1, 4, 5, 1), np.uint8), 3)


def test_the_input_shape_is_read_from_the_model():
    assert checks.input_shape(Server(), "m", None) == (4, 5, 1)


def test_a_model_of_any_size_needs_data_to_be_named():
    with pytest.raises(WrongStateError, match="name prepared data"):
        checks.input_shape(Server([Tensor("image", "UINT8", (-1, -1, -1, 3))]), "m", None)
