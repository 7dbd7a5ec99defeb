"""`.keras` archives, loaded in safe mode and called through one traced graph."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.runtimes import Predictor
from core.runtimes._tensorflow import import_tensorflow, set_threads, use_device
from core.runtimes.devices import Device


def load(path: Path, threads: int, device: Device = "cpu") -> Predictor:
    """Loads a `.keras` file.

    Raises:
        InvalidInputError: not a readable archive, or its input is not the contract's uint8 images.
    """
    tf = import_tensorflow()
    set_threads(threads)
    use_device(device)
    import keras

    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise InvalidInputError(f"{path} does not load as a Keras model: {error}; export the model again") from error
    if len(model.inputs) != 1 or model.inputs[0].dtype != "uint8":
        raise InvalidInputError(f"{path} needs one uint8 input, it has {[(i.name, i.dtype) for i in model.inputs]}")
    signature = tf.TensorSpec(model.inputs[0].shape, tf.uint8, name="image")
    graph = tf.function(lambda image: model(image, training=False), autograph=False).get_concrete_function(signature)

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32] = graph(tf.convert_to_tensor(images)).numpy()
        return probabilities

    return predict
