"""What an evaluation refuses before the first image."""

from typing import Any, cast

import pytest

from core.errors import NotFoundError, WrongStateError
from core.prepared import open_prepared
from core.schemas.data import ImageSpec
from core.schemas.specs import EvaluateSpec
from services.client.inference import InferenceClient
from services.client.tensors import ImageContract, ModelMetadata, Tensor
from services.evaluator.evaluation import check_classes, check_contract
from tests.system.prepared_noise import FINGERPRINT, put_noise

SPEC = EvaluateSpec(model="linear", version=1, artifact="a" * 64, runtime="onnxruntime", data=FINGERPRINT)


class Told:
    """A client whose server tells these classes, or nothing."""

    def __init__(self, classes: tuple[str, ...] | None) -> None:
        self.classes = classes

    def preprocess_spec(self, name: str, version: int) -> ImageContract:
        if self.classes is None:
            raise NotFoundError(f"{name} {version} has no configuration")
        return ImageContract(ImageSpec(height=6, width=5, color="grey"), self.classes)


@pytest.fixture
def data(tmp_path: Any) -> Any:
    return open_prepared(put_noise(tmp_path, 4), FINGERPRINT)


def metadata(image: tuple[int, ...] = (-1, 6, 5, 1), kind: str = "UINT8", classes: int = 3) -> ModelMetadata:
    inputs, outputs = Tensor("image", kind, image), Tensor("probabilities", "FP32", (-1, classes))
    return ModelMetadata("linear", ("1",), "", (inputs,), (outputs,))


def test_a_model_that_fits_is_let_through(data):
    check_contract(metadata(), data)
    check_classes(cast(InferenceClient, Told(("zero", "one", "two"))), SPEC, data)


def test_a_server_that_does_not_tell_its_classes_is_taken_at_its_word(data):
    check_classes(cast(InferenceClient, Told(None)), SPEC, data)
    check_classes(cast(InferenceClient, Told(())), SPEC, data)


def test_classes_in_another_order_are_refused_naming_the_first_that_differs(data):
    with pytest.raises(WrongStateError, match="class 1 is 'two', in the data cdcdcdcdcdcd… it is 'one'"):
        check_classes(cast(InferenceClient, Told(("zero", "two", "one"))), SPEC, data)


@pytest.mark.parametrize(
    ("served", "message"),
    [
        (metadata(image=(-1, 8, 8, 1)), r"image is \('UINT8', \(-1, 8, 8, 1\)\).*needs \('UINT8', \(-1, 6, 5, 1\)\)"),
        (metadata(image=(-1, 6, 5, 3)), r"\(-1, 6, 5, 3\)"),
        (metadata(kind="FP32"), r"image is \('FP32'"),
        (metadata(classes=10), r"probabilities is \('FP32', \(-1, 10\)\)"),
        (ModelMetadata("linear", (), "", (), ()), "image is absent"),
    ],
)
def test_another_input_or_output_is_refused_saying_what_the_data_needs(data, served, message):
    with pytest.raises(WrongStateError, match=message):
        check_contract(served, data)
