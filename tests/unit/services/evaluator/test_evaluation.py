"""What an evaluation refuses before the first image."""

from typing import Any, cast

import pytest

from core.errors import (
    BakeoffError,
    DeadlineError,
    DeniedError,
    NotFoundError,
    NotReadyError,
    UnsupportedError,
    WrongStateError,
)
from core.prepared import open_prepared
from core.schemas.data import ImageSpec
from core.schemas.specs import EvaluateSpec
from services.client.inference import InferenceClient
from services.client.tensors import ImageContract
from services.evaluator.evaluation import check_classes
from tests.system.prepared_noise import FINGERPRINT, put_noise

SPEC = EvaluateSpec(model="linear", version=1, artifact="a" * 64, runtime="onnxruntime", data=FINGERPRINT)


class Told:
    """A client whose server tells these classes, or fails."""

    def __init__(self, classes: tuple[str, ...] | BakeoffError) -> None:
        self.classes = classes

    def preprocess_spec(self, name: str, version: int) -> ImageContract:
        if isinstance(self.classes, BakeoffError):
            raise self.classes
        return ImageContract(ImageSpec(height=6, width=5, color="grey"), self.classes)


@pytest.fixture
def data(tmp_path: Any) -> Any:
    return open_prepared(put_noise(tmp_path, 4), FINGERPRINT)


def test_a_model_that_fits_is_let_through(data):
    check_classes(cast(InferenceClient, Told(("zero", "one", "two"))), SPEC, data)


def test_a_server_that_does_not_tell_its_classes_is_taken_at_its_word(data):
    for answer in (NotFoundError("no configuration"), UnsupportedError("no such call")):
        check_classes(cast(InferenceClient, Told(answer)), SPEC, data)
    check_classes(cast(InferenceClient, Told(())), SPEC, data)


def test_classes_in_another_order_are_refused_naming_the_first_that_differs(data):
    with pytest.raises(WrongStateError, match="class 1 is 'two', in the data cdcdcdcdcdcd… it is 'one'"):
        check_classes(cast(InferenceClient, Told(("zero", "two", "one"))), SPEC, data)


@pytest.mark.parametrize("classes", [("zero", "one", "two", "three"), ("zero", "one")])
def test_a_list_of_another_length_is_refused_though_it_begins_alike(data, classes):
    with pytest.raises(
        WrongStateError, match=f"model linear: the server lists {len(classes)} classes, expected the 3 of the data cdcd"
    ):
        check_classes(cast(InferenceClient, Told(classes)), SPEC, data)


@pytest.mark.parametrize("error", [NotReadyError("away"), DeadlineError("slow"), DeniedError("no")])
def test_a_server_that_cannot_be_asked_is_not_taken_for_one_that_does_not_tell(data, error):
    with pytest.raises(type(error), match=str(error)):
        check_classes(cast(InferenceClient, Told(error)), SPEC, data)
