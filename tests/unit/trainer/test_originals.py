"""Which original images a training with a framework's own loader may have, and how Pillow opens them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import InvalidInputError
from core.prepared import PreparedData
from core.preprocess import decode
from core.schemas.data import DatasetSource, FolderSource, ImageSpec, Source
from core.schemas.specs import OriginalsSpec
from tests.unit.trainer.test_training import manifest
from trainer.originals import Originals, check_files


def originals(path: Path, spec: ImageSpec) -> Originals:
    return Originals(np.zeros(1, np.int64), spec, 1, path.parent / "work", (path,))


@pytest.mark.parametrize("color", ["rgb", "grey"])
@pytest.mark.parametrize("alpha", [0, 100, 255])
def test_a_transparent_image_is_opened_with_the_pixels_it_is_prepared_with(
    tmp_path: Path, color: str, alpha: int
) -> None:
    path, spec = tmp_path / "seen-through.png", ImageSpec.model_validate({"height": 4, "width": 4, "color": color})
    Image.new("RGBA", (4, 4), (200, 60, 10, alpha)).save(path)
    opened = np.asarray(originals(path, spec).pillow(0)).reshape(spec.shape)
    np.testing.assert_array_equal(opened, decode(path, spec))


@pytest.mark.parametrize("color", ["rgb", "grey"])
def test_pixels_of_16_bits_are_opened_as_they_are_prepared(tmp_path: Path, color: str) -> None:
    path, spec = tmp_path / "deep.png", ImageSpec.model_validate({"height": 2, "width": 2, "color": color})
    Image.fromarray(np.array([[0, 30_000], [255, 65_535]], np.uint16)).save(path)
    opened = np.asarray(originals(path, spec).pillow(0)).reshape(spec.shape)
    assert opened[..., 0].tolist() == [[0, 117], [0, 255]]
    np.testing.assert_array_equal(opened, decode(path, spec))


def test_whatever_a_codec_raises_names_the_image(tmp_path: Path) -> None:
    class Row:
        def __getitem__(self, key: str) -> Image.Image:
            raise SyntaxError("not a TIFF file")

    rows = Originals(np.zeros(1, np.int64), ImageSpec(height=2, width=2), 1, tmp_path / "train", rows=[Row()])
    with pytest.raises(InvalidInputError, match=r"row 0 of the train images cannot be decoded: not a TIFF file"):
        rows.pillow(0)


@pytest.mark.parametrize(
    ("framework", "file", "color", "refused"),
    [
        ("keras", "cat/1.webp", "rgb", r"Keras's own loader does not read .*/cat/1.webp as colour; it reads .bmp"),
        ("keras", "cat/1.JPEG", "rgb", ""),
        ("tensorflow", "cat/1.webp", "rgb", ""),
        ("tensorflow", "cat/1.webp", "grey", r"TensorFlow's own loader does not read .*/cat/1.webp as grey"),
        ("pytorch", "cat/1.webp", "grey", ""),
        ("fastai", "cat/1.tif", "rgb", ""),
    ],
)
@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_file_that_a_frameworks_loader_does_not_read_is_refused_before_training(
    tmp_path: Path, framework: str, file: str, color: str, refused: str, split: str
) -> None:
    def check(source: Source) -> None:
        data = PreparedData("0" * 64, tmp_path, manifest(color=color))
        check_files(OriginalsSpec(source=source, digest="d"), framework, data)

    for item in ("cat/0.png", "dog/0.jpg", file):
        (tmp_path / item).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / item)
    for name in ("train", "validation"):
        (tmp_path / f"{name}.items.txt").write_text(f"cat/0.png\n{file if name == split else 'dog/0.jpg'}\n")
    if refused:
        with pytest.raises(InvalidInputError, match=refused):
            check(FolderSource(path=str(tmp_path)))
    else:
        check(FolderSource(path=str(tmp_path)))
    check(DatasetSource(name="owner/pets"))
