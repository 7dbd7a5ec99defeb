"""Whatever a file holds, decode gives an array of the promised shape or an error that names the image."""

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.errors import InvalidInputError
from core.preprocess import decode, is_grey, open_image, versions
from core.schemas.data import ImageSpec

GREY = ImageSpec(height=4, width=4, color="grey")
RGB = ImageSpec(height=4, width=4)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@settings(deadline=None, max_examples=60)
@given(
    mode=st.sampled_from(["1", "L", "P", "RGB", "RGBA", "LA", "I;16", "CMYK", "YCbCr"]),
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    spec=st.builds(
        ImageSpec,
        height=st.integers(1, 20),
        width=st.integers(1, 20),
        color=st.sampled_from(["grey", "rgb"]),
        geometry=st.sampled_from(["stretch", "crop", "pad"]),
        filter=st.sampled_from(["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]),
    ),
)
def test_every_mode_size_and_geometry_gives_uint8_of_the_promised_shape(
    mode: str, width: int, height: int, spec: ImageSpec
) -> None:
    array = decode(Image.new(mode, (width, height)), spec)
    assert array.shape == spec.shape
    assert array.dtype == np.uint8


def test_bytes_file_and_opened_image_give_the_same_pixels(tmp_path: Path) -> None:
    data = encoded(Image.fromarray(noise(9, 7, 3)))
    path = tmp_path / "x.png"
    path.write_bytes(data)
    from_bytes = decode(data, RGB)
    np.testing.assert_array_equal(from_bytes, decode(path, RGB))
    np.testing.assert_array_equal(from_bytes, decode(Image.open(io.BytesIO(data)), RGB))


def test_an_image_of_the_right_size_is_not_changed() -> None:
    pixels = noise(4, 4, 3)
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(pixels)), RGB), pixels)


def test_sixteen_bit_grey_keeps_the_high_byte() -> None:
    values = np.linspace(0, 65535, 16).astype(np.uint16).reshape(4, 4)
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(values)), GREY)[..., 0], values >> 8)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_pixels_of_unknown_range_are_refused(dtype: type) -> None:
    data = encoded(Image.fromarray(np.full((4, 4), 1000, dtype=dtype)), "TIFF")
    with pytest.raises(
        InvalidInputError, match=r"scan\.tif cannot be decoded: mode [IF], 32-bit pixels of unknown range"
    ):
        decode(data, GREY, "scan.tif")


def test_transparent_pixels_become_black_whatever_lies_below() -> None:
    pixels = np.full((4, 4, 4), 200, dtype=np.uint8)
    pixels[0, 0, 3] = 0
    pixels[1:, :, 3] = 255
    array = decode(encoded(Image.fromarray(pixels)), RGB)
    assert array[0, 0].tolist() == [0, 0, 0]
    assert array[1, 1].tolist() == [200, 200, 200]


def test_a_palette_with_a_transparent_entry_is_composed_on_black() -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((0, 0), 0)
    array = decode(encoded(image, transparency=0), RGB)
    assert array[0, 0].tolist() == [0, 0, 0]
    assert array[2, 2].tolist() == [0, 255, 0]


def test_exif_orientation_turns_the_image_unless_told_not_to() -> None:
    pixels = np.zeros((4, 8), dtype=np.uint8)
    pixels[:, :4] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90° clockwise: the left half comes to the top
    data = encoded(Image.fromarray(pixels), "PNG", exif=exif)
    turned = decode(data, ImageSpec(height=8, width=4, color="grey"))[..., 0]
    assert turned[:4].min() == 255
    assert turned[4:].max() == 0
    plain = decode(data, ImageSpec(height=4, width=8, color="grey", exif=False))[..., 0]
    np.testing.assert_array_equal(plain, pixels)


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("L", (4, 4), value) for value in (10, 200)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100)
    assert decode(data, GREY).tolist() == np.full((4, 4, 1), 10).tolist()


def test_cmyk_jpeg_becomes_rgb() -> None:
    data = encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG")
    assert decode(data, RGB).min() > 250


def test_crop_keeps_the_centre_and_pad_adds_black_borders() -> None:
    wide = np.zeros((4, 8), dtype=np.uint8)
    wide[:, 2:6] = 255
    cropped = decode(Image.fromarray(wide), ImageSpec(height=4, width=4, color="grey", geometry="crop"))
    assert cropped.min() == 255
    padded = decode(Image.new("L", (8, 4), 255), ImageSpec(height=8, width=8, color="grey", geometry="pad"))[..., 0]
    assert padded[:2].max() == 0
    assert padded[2:6].min() == 255
    assert padded[6:].max() == 0


def test_without_antialiasing_bilinear_samples_at_pixel_centres() -> None:
    row = np.array([[0, 100, 200, 40]], dtype=np.uint8)
    sampled = ImageSpec(height=1, width=1, color="grey", antialias=False)
    # The one output pixel lies between the second and the third input pixel.
    assert decode(Image.fromarray(row), sampled).item() == 150
    smooth = ImageSpec(height=1, width=1, color="grey")
    assert decode(Image.fromarray(row), smooth).item() != 150


@pytest.mark.parametrize("size", [2, 3, 13, 40])
def test_sampling_darkens_no_edge(size: int) -> None:
    spec = ImageSpec(height=size, width=size, color="grey", antialias=False)
    assert decode(Image.new("L", (10, 10), 77), spec).tolist() == np.full(spec.shape, 77).tolist()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", r"it is empty \(0 bytes\)"),
        (b"hello", "not an image in a known format"),
        (b"\x89PNG\r\n\x1a\n", "."),
    ],
)
def test_what_is_no_image_is_named_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"^cat/7\.jpg cannot be decoded: {reason}"):
        decode(data, RGB, "cat/7.jpg")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_a_truncated_file_is_an_error_and_never_a_half_grey_image(kind: str) -> None:
    data = encoded(Image.fromarray(noise(64, 64, 3)), kind)
    with pytest.raises(InvalidInputError, match="cut cannot be decoded"):
        decode(data[: len(data) // 2], RGB, "cut")


def test_messages_are_the_same_from_run_to_run() -> None:
    def message() -> str:
        with pytest.raises(InvalidInputError) as caught:
            decode(b"not an image", RGB, "x")
        return str(caught.value)

    assert message() == message()
    assert "0x" not in message()


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"lost\.png cannot be decoded: No such file"):
        decode(tmp_path / "lost.png", RGB, "lost.png")


@settings(deadline=None, max_examples=150)
@given(kind=st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]), data=st.data())
def test_a_damaged_file_gives_pixels_or_an_error_but_no_other_exception(kind: str, data: st.DataObject) -> None:
    whole = bytearray(encoded(Image.fromarray(noise(8, 8, 3)), kind))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with suppress(InvalidInputError):
        assert decode(bytes(whole), RGB, "damaged").shape == RGB.shape


@pytest.mark.parametrize(("mode", "grey"), [("L", True), ("1", True), ("I;16", True), ("RGB", False), ("P", False)])
def test_grey_and_colour_files_are_told_apart_without_decoding(mode: str, grey: bool) -> None:
    assert is_grey(open_image(encoded(Image.new(mode, (2, 2))))) is grey


def test_versions_name_what_decides_the_bytes() -> None:
    assert versions()["pillow"] == PIL.__version__
    assert "zlib" in versions()
