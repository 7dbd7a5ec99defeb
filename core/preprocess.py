"""Encoded image to uint8 array: the same function for preparation, clients and pages."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from core.errors import InvalidInputError
from core.schemas.data import ImageSpec

MODES = {"grey": "L", "rgb": "RGB"}


def versions() -> dict[str, str]:
    """What decides the decoded bytes: Pillow and the codec libraries it was built with."""
    from PIL import features

    codecs = {name: features.version(name) for name in ("libjpeg_turbo", "jpg", "zlib", "webp")}
    return {"pillow": PIL.__version__, **{name: str(found) for name, found in codecs.items() if found}}


def open_image(source: bytes | Path, name: str = "image") -> Image.Image:
    """Opens an encoded image and reads its header; the pixels are decoded when somebody asks for them.

    Raises:
        InvalidInputError: unreadable, empty, or not an image in a known format.
    """
    with explained(name):
        data = source if isinstance(source, bytes) else source.read_bytes()
        if not data:
            raise ValueError("it is empty (0 bytes)")
        return Image.open(io.BytesIO(data))


def is_grey(image: Image.Image) -> bool:
    """True for a file that stores grey values; a palette counts as colour."""
    return image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;16")


def decode(source: bytes | Path | Image.Image, spec: ImageSpec, name: str = "image") -> NDArray[np.uint8]:
    """Decodes and resizes one image.

    Of an animation the first frame counts. Of 16-bit grey values the high byte is kept, as libpng does. Colour profiles
    are not applied. Grey from colour is the ITU-R 601 luma, 0.299 R + 0.587 G + 0.114 B.

    Args:
        source: encoded bytes, a file, or an already opened image.
        name: what to call the image in an error.

    Returns:
        uint8 [height, width, channels].

    Raises:
        InvalidInputError: the bytes are not an image, are cut off, or hold pixels whose range is not known.
    """
    image = source if isinstance(source, Image.Image) else open_image(source, name)
    with explained(name):
        image.load()
        if spec.exif and image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            image = ImageOps.exif_transpose(image)
        image = _resize(flatten_alpha(to_8_bits(image)).convert(MODES[spec.color]), spec)
        return np.asarray(image, dtype=np.uint8).reshape(spec.shape)


def flatten_alpha(image: Image.Image) -> Image.Image:
    """Transparent pixels become black, whatever colour the file hides below them."""
    if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
        return image
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Whatever goes wrong inside a codec means that this image cannot be decoded: damaged files raise any exception."""
    try:
        yield
    except MemoryError:
        raise
    except UnidentifiedImageError as error:
        # Pillow's own message holds a memory address, which would differ from run to run.
        raise InvalidInputError(f"{name} cannot be decoded: not an image in a known format") from error
    except OSError as error:
        raise InvalidInputError(f"{name} cannot be decoded: {error.strerror or error}") from error
    except Exception as error:
        raise InvalidInputError(f"{name} cannot be decoded: {error or type(error).__name__}") from error


def to_8_bits(image: Image.Image) -> Image.Image:
    """The high byte of pixels of 16 bits; others as they are. Raises ValueError for 32 bits, whose range is unknown."""
    if image.mode in ("I", "F"):
        raise ValueError(f"mode {image.mode}, 32-bit pixels of unknown range; save it with 8 or 16 bits")
    if not image.mode.startswith("I;16"):
        return image
    # Pillow's own conversion clips at 255, which turns nearly every 16-bit image white.
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def _resize(image: Image.Image, spec: ImageSpec) -> Image.Image:
    size = (spec.width, spec.height)
    if image.size == size:
        return image
    resampling = Image.Resampling[spec.filter.upper()]
    if not spec.antialias:
        return _sample(image, spec)
    if spec.geometry == "crop":
        return ImageOps.fit(image, size, method=resampling)
    if spec.geometry == "pad":
        return ImageOps.pad(image, size, method=resampling)
    return image.resize(size, resampling)


def _sample(image: Image.Image, spec: ImageSpec) -> Image.Image:
    """Resize without antialiasing: the filter keeps its two-pixel support while shrinking."""
    resampling = {"nearest": Image.Resampling.NEAREST, "bilinear": Image.Resampling.BILINEAR}[spec.filter]
    sx, sy = image.width / spec.width, image.height / spec.height
    # Pillow's affine transform samples at (x + 0.5)·scale, the half-pixel convention of TensorFlow 2 and PyTorch.
    data: Any = (sx, 0.0, 0.0, 0.0, sy, 0.0)
    return image.transform((spec.width, spec.height), Image.Transform.AFFINE, data, resampling)
