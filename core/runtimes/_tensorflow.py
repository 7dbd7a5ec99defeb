"""What everything on TensorFlow shares: a quiet import and the thread pools."""

import logging
import os
from contextlib import suppress
from typing import Any

from core.runtimes.devices import Device


def import_tensorflow() -> Any:
    """The module, without its messages about the machine."""
    # Keras, which comes with it, reads this while it is loaded, and the C++ part the next.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow

    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    return tensorflow


def use_device(device: Device) -> None:
    """Makes TensorFlow compute on a device: on a GPU without TF32, and with no more of its memory than it needs. Like
    the threads, the first caller decides."""
    tf = import_tensorflow()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    with suppress(RuntimeError):
        if device == "cpu":
            tf.config.set_visible_devices([], "GPU")
        else:
            for gpu in tf.config.list_physical_devices("GPU"):
                tf.config.experimental.set_memory_growth(gpu, True)


def set_threads(threads: int) -> None:
    """Sets the thread pools of the process. TensorFlow fixes them when it first computes: the first caller decides."""
    tf = import_tensorflow()
    with suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
