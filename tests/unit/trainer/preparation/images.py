"""Small generated images and folders of them."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from core.schemas.data import DataSpec, FolderSource, ImageSpec, SplitSpec
from core.schemas.specs import PrepareSpec

SMALL = ImageSpec(height=4, width=4, color="rgb")


def picture(seed: int = 0, mode: str = "RGB", size: tuple[int, int] = (6, 5)) -> Image.Image:
    """Noise of a mode Pillow knows; `size` is width, height."""
    bands = {"L": (), "RGB": (3,), "RGBA": (4,), "LA": (2,), "CMYK": (4,)}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], *bands), dtype=np.uint8)
    return Image.fromarray(pixels, mode) if mode in ("LA", "CMYK") else Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The image as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def write(path: Path, seed: int = 0, mode: str = "RGB") -> Path:
    """One image file; the format follows the extension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed, mode).save(path)
    return path


def class_folders(root: Path, counts: dict[str, int], mode: str = "RGB") -> Path:
    """`root/<class>/<i>.png` for every class and count; a class may be `train/cat`."""
    for place, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            write(root / name / f"{number}.png", seed=1000 * place + number, mode=mode)
    return root


def folder_spec(root: Path, policy: str = "given", image: ImageSpec = SMALL, **options: object) -> PrepareSpec:
    """What to do with a folder of images."""
    split = SplitSpec.model_validate({"policy": policy})
    data = DataSpec.model_validate(
        {"source": FolderSource(path=str(root)), "image": image, "split": split, **options}
    )  # fmt: skip
    return PrepareSpec(data=data, source_digest="of no importance here")
