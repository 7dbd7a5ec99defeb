"""Which image files TensorFlow's decoder reads; that it does is tests/contract/test_tf_formats.py's."""

import re
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from core.errors import InvalidInputError
from core.schemas.data import ImageSpec
from trainer.originals import Originals

SIDE = 16
PLAIN = Image.effect_mandelbrot((SIDE, SIDE), (-2, -1.5, 1, 1.5), 50)
COLOR = Image.merge("RGB", (PLAIN, PLAIN.rotate(90), PLAIN.rotate(180)))
ALPHA = Image.merge("RGBA", (*COLOR.split(), PLAIN))
FILES = {
    "plain.jpg": (COLOR, "JPEG", ""),
    "cmyk.jpg": (COLOR.convert("CMYK"), "JPEG", ""),
    "plain.png": (COLOR, "PNG", ""),
    "palette.png": (COLOR.quantize(8), "PNG", ""),
    "alpha.png": (ALPHA, "PNG", ""),
    "plain.gif": (COLOR, "GIF", ""),
    "webp.jpg": (COLOR, "WEBP", ""),
    "plain.bmp": (COLOR, "BMP", ""),
    "grey.bmp": (PLAIN, "BMP", ""),
    "alpha.bmp": (ALPHA, "BMP", ""),
    "palette.bmp": (COLOR.quantize(8), "BMP", "BMP of 8 bits in mode P"),
    "bits.bmp": (PLAIN.convert("1"), "BMP", "BMP of 1 bits in mode 1"),
    "alpha.webp": (ALPHA, "WEBP", "WEBP in mode RGBA, frames: 1"),
    "tiff.jpg": (COLOR, "TIFF", "TIFF"),
    "jpeg2000.png": (COLOR, "JPEG2000", "JPEG2000"),
}
"""Name to content, its format, and what is said of it where the decoder does not read it in colour."""


def write(folder: Path, name: str) -> Path:
    image, kind, _ = FILES[name]
    image.save(folder / name, kind)
    return folder / name


def originals(*paths: Path, color: str = "rgb") -> Originals:
    spec = ImageSpec.model_validate({"height": SIDE, "width": SIDE, "color": color})
    return Originals(np.zeros(len(paths), np.int64), spec, 1, Path("work"), paths)


def check(*paths: Path, color: str = "rgb") -> None:
    originals(*paths, color=color).refuse_unreadable("tensorflow")


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_the_decoder_does_not_read_is_refused_with_what_it_holds(tmp_path: Path, name: str) -> None:
    path, found = write(tmp_path, name), FILES[name][2]
    if not found:
        check(path)
        return
    with pytest.raises(
        InvalidInputError, match=f"TensorFlow's own loader does not read {path} as colour: it holds {found};"
    ):
        check(path)


def test_grey_is_read_from_jpeg_and_png_alone_whatever_they_are_called(tmp_path: Path) -> None:
    check(write(tmp_path, "plain.jpg"), write(tmp_path, "palette.png"), color="grey")
    with pytest.raises(
        InvalidInputError, match=r"as grey: it holds WEBP; it reads JPEG and PNG, called .*: convert the images"
    ):
        check(write(tmp_path, "webp.jpg"), color="grey")


def test_an_animation_and_a_file_that_is_no_image_are_refused(tmp_path: Path) -> None:
    moving = tmp_path / "moving.webp"
    COLOR.save(moving, "WEBP", save_all=True, append_images=[COLOR.rotate(90)])
    page = tmp_path / "page.jpg"
    page.write_text("<html>")
    for path, found in ((moving, "WEBP in mode RGB, frames: 2"), (page, "no image in a known format")):
        with pytest.raises(InvalidInputError, match=re.escape(f"{path} as colour: it holds {found};")):
            check(write(tmp_path, "plain.jpg"), path)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_is_refused_under_another_name(tmp_path: Path) -> None:
    path = tmp_path / "cat.jpg"
    COLOR.save(path, "AVIF")
    with pytest.raises(InvalidInputError, match=f"{path} as colour: it holds AVIF;"):
        check(path)


def test_rare_bmp_files_are_refused(tmp_path: Path) -> None:
    """16 bits a pixel, run lengths, and the header of OS/2."""
    few, runs, old = (tmp_path / name for name in ("few.bmp", "runs.bmp", "old.bmp"))
    data = write(tmp_path, "plain.bmp").read_bytes()
    few.write_bytes(data[:28] + struct.pack("<H", 16) + data[30:])
    data = write(tmp_path, "grey.bmp").read_bytes()
    runs.write_bytes(data[:30] + struct.pack("<I", 1) + data[34:])
    old.write_bytes(b"BM" + struct.pack("<I4xIIHHHH", 794, 26, 12, SIDE, SIDE, 1, 24) + bytes(768))
    for path, found in ((few, "16 bits in mode RGB"), (runs, "8 bits in mode L"), (old, "OS/2's header")):
        with pytest.raises(InvalidInputError, match=f"it holds BMP .*{found};"):
            check(path)
