from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.preprocess import decode
from core.schemas.data import ImageSpec
from trainer.originals import Originals


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
