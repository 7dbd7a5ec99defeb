import pytest

from core.errors import BakeoffError, NotFoundError, NotReadyError, UnsupportedError, WrongStateError
from core.schemas.data import ImageSpec
from services.client.checks import check_artifact, check_tensors
from services.client.tensors import ImageContract, ModelMetadata, Tensor


class Server:
    """A client whose server tells one digest, or nothing."""

    target = "127.0.0.1:1"

    def __init__(self, digest: str | BakeoffError) -> None:
        self._digest = digest

    def preprocess_spec(self, model: str, version: int) -> ImageContract:
        if isinstance(self._digest, BakeoffError):
            raise self._digest
        return ImageContract(ImageSpec(height=1, width=1), (), self._digest)


@pytest.mark.parametrize("digest", ["a" * 64, "", NotFoundError("no parameter"), UnsupportedError("no call")])
def test_the_expected_files_and_servers_that_do_not_tell_are_measured(digest: str | BakeoffError) -> None:
    check_artifact(Server(digest), "m", 1, "a" * 64)  # type: ignore[arg-type]


def test_other_files_under_the_same_name_are_refused() -> None:
    with pytest.raises(WrongStateError, match=r"serves m version 1 from other files \(bbbbbbbbbbbb…\)"):
        check_artifact(Server("b" * 64), "m", 1, "a" * 64)  # type: ignore[arg-type]


def test_a_server_that_is_away_is_an_error_and_not_one_that_does_not_tell() -> None:
    with pytest.raises(NotReadyError, match="away"):
        check_artifact(Server(NotReadyError("away")), "m", 1, "a" * 64)  # type: ignore[arg-type]


def metadata(image: tuple[int, ...] = (-1, 6, 5, 1), kind: str = "UINT8", classes: int = 3) -> ModelMetadata:
    inputs, outputs = Tensor("image", kind, image), Tensor("probabilities", "FP32", (-1, classes))
    return ModelMetadata("linear", ("1",), "", (inputs,), (outputs,))


@pytest.mark.parametrize(
    "served", [metadata(), metadata(image=(-1, -1, -1, 1)), metadata(image=(8, 6, 5, -1)), metadata(classes=-1)]
)
def test_equal_and_free_dimensions_fit_the_data(served: ModelMetadata) -> None:
    check_tensors(served, "linear", (6, 5, 1), 3)


@pytest.mark.parametrize(
    ("served", "message"),
    [
        (metadata(image=(-1, 8, 8, 1)), r"linear takes images of \[8, 8, 1\], the data has \[6, 5, 1\]"),
        (metadata(image=(-1, -1, -1, 3)), r"takes images of \[-1, -1, 3\]"),
        (metadata(kind="FP32"), "no UINT8 tensor 'image'.*image FP32"),
        (metadata(classes=10), "tells 10 classes apart, the data has 3"),
        (ModelMetadata("linear", (), "", (), ()), "has: none"),
    ],
)
def test_another_input_or_output_is_refused_saying_what_the_data_needs(served: ModelMetadata, message: str) -> None:
    with pytest.raises(WrongStateError, match=message):
        check_tensors(served, "linear", (6, 5, 1), 3)
