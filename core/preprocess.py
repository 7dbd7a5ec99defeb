"""Encoded image to uint8 array: the same function for preparation, clients and pages."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageOps

from core.errors import InvalidInputError
from core.schemas.data import ImageSpec

MODES = {"grey": "L", "rgb": "RGB"}


def versions() -> dict[str, str]:
    """What decides the decoded bytes: Pillow and the codec libraries it was built with."""
    from PIL import features

    codecs = {name: features.version(name) for name in ("libjpeg_turbo", "jpg", "zlib", "webp")}
    return {"pillow": PIL.__version__, **{name: str(found) for name, found in codecs.items() if found}}


def decode(source: bytes | Path | Image.Image, spec: ImageSpec, name: str = "image") -> NDArray[np.uint8]:
    """Decodes and resizes one image.

    Args:
        source: encoded bytes, a file, or an already opened image.
        name: what to call the image in an error.

    Returns:
        uint8 [height, width, channels].

    Raises:
        InvalidInputError: the bytes are not an image, or are cut off.
    """
    try:
        image = _open(source)
        if spec.exif:
            image = ImageOps.exif_transpose(image)
        image = _resize(_flatten_alpha(image).convert(MODES[spec.color]), spec)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidInputError(f"{name} cannot be decoded: {error}") from error
    array = np.asarray(image, dtype=np.uint8)
    return array.reshape(spec.shape)


def _open(source: bytes | Path | Image.Image) -> Image.Image:
    image = source if isinstance(source, Image.Image) else Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    image.load()
    return image


def _flatten_alpha(image: Image.Image) -> Image.Image:
    """Transparent pixels become black, whatever colour the file hides below them."""
    if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
        return image
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)


def _resize(image: Image.Image, spec: ImageSpec) -> Image.Image:
    size = (spec.width, spec.height)
    if image.size == size:
        return image
    resampling = Image.Resampling[spec.filter.upper()]
    if not spec.antialias:
        if spec.geometry != "stretch":
            raise InvalidInputError("antialias: false goes with geometry: stretch")
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
