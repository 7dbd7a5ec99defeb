"""What all sources share, and the built-in digits."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import InvalidInputError, MissingExtraError
from core.schemas.data import DigitsSource
from trainer.preparation import inspect
from trainer.preparation.sources import check_classes, check_name, open_source, require, split_called


@pytest.mark.parametrize(
    ("name", "split"),
    [("train", "train"), ("Training", "train"), ("VAL", "validation"), ("valid", "validation"), ("dev", "validation"),
     ("Validation", "validation"), ("TEST", "test"), ("tests", None), ("cat", None), ("", None)],
)  # fmt: skip
def test_split_names_are_recognised_in_any_case(name: str, split: str | None) -> None:
    assert split_called(name) == split


@pytest.mark.parametrize("name", ["Größe", "猫", "a b", 'it\'s "x"', "C:\\x", "🐈", "a\u202fb", "-", "0"])
def test_odd_names_are_fine(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\rb", "a\tb", "a\u2028b", "a\x85b", "a\udcffb", "\x00"])
def test_names_that_no_text_file_can_hold_are_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match="rename it"):
        check_name(name)


@pytest.mark.parametrize(("classes", "found"), [((), "no class"), (("cat",), "only one class, 'cat'")])
def test_a_classifier_needs_two_classes(classes: tuple[str, ...], found: str) -> None:
    with pytest.raises(InvalidInputError, match=found):
        check_classes(classes)


def test_a_missing_library_names_the_extra_to_install() -> None:
    with pytest.raises(MissingExtraError, match=r"pip install 'bakeoff\[training\]'"):
        require("no_such_library")


def test_digits_are_inspected_without_loading_them() -> None:
    found = inspect(DigitsSource())
    assert found.images == {"all": 1797}
    assert found.classes == tuple("0123456789")
    assert found == inspect(DigitsSource())


def test_digits_are_scaled_to_0_255_exactly(tmp_path: Path) -> None:
    listing = open_source(DigitsSource(), tmp_path, lambda: None)
    assert len(listing.labels) == 1797
    assert listing.name(5) == "digits[5]"
    files = [data for data in listing.read(np.arange(1797)) if isinstance(data, bytes)]
    images = [np.asarray(Image.open(io.BytesIO(data))) for data in files]
    from sklearn.datasets import load_digits

    expected = [[round(v * 255 / 16) for v in row.ravel()] for row in load_digits().images]
    np.testing.assert_array_equal(np.stack(images).reshape(1797, 64), expected)
    assert np.max(images) == 255
