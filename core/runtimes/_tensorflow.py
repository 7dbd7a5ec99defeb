"""What everything on TensorFlow shares: a quiet import and the thread pools."""

import logging
import os
from contextlib import suppress
from typing import Any


def import_tensorflow() -> Any:
    """The module, without its messages about the machine."""
    # The C++ part reads this once, while it is loaded.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow

    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    return tensorflow


def set_threads(threads: int) -> None:
    """Sets the thread pools of the process. TensorFlow fixes them when it first computes: the first caller decides."""
    tf = import_tensorflow()
    with suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
