"""What TensorFlow makes of image files, in a process of its own: `python -m tests.contract.tf_formats FOLDER`.

Prints one JSON object: name of each file to how far its pixels are from Pillow's, or null where it cannot be decoded.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tests.unit.trainer.test_tf_formats import FILES, originals, write
from trainer.frameworks._tf import tf
from trainer.frameworks._tf_data import files


def gap(path: Path) -> float | None:
    """Mean over pixels."""
    try:
        image, _ = files(originals(path))(str(path), 0)
    except tf.errors.InvalidArgumentError:
        return None
    return float(np.abs(image.numpy().astype(float) - np.asarray(Image.open(path).convert("RGB"))).mean())


if __name__ == "__main__":
    print(json.dumps({name: gap(write(Path(sys.argv[1]), name)) for name in FILES}))
