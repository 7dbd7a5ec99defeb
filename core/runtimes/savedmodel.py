"""TensorFlow SavedModel, through its `serving_default` signature."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.runtimes import Predictor
from core.runtimes._tensorflow import import_tensorflow, set_threads, use_device
from core.runtimes.devices import Device


def load(path: Path, threads: int, device: Device = "cpu") -> Predictor:
    """Loads a SavedModel folder.

    Raises:
        InvalidInputError: no readable SavedModel, or without the contract's signature `image` → `probabilities`.
    """
    tf = import_tensorflow()
    set_threads(threads)
    use_device(device)
    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:
        raise InvalidInputError(f"{path} does not load as a SavedModel: {error}; export the model again") from error
    serve = loaded.signatures.get("serving_default")
    if (
        serve is None
        or list(serve.structured_input_signature[1]) != ["image"]
        or list(serve.structured_outputs) != ["probabilities"]
    ):
        raise InvalidInputError(
            f"{path} needs a signature serving_default with input 'image' and output 'probabilities'"
        )

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32] = serve(image=tf.convert_to_tensor(images))["probabilities"].numpy()
        return probabilities

    # A signature does not keep the variables it captured alive.
    predict.model = loaded  # type: ignore[attr-defined]
    return predict
