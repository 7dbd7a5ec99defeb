"""A Keras training that is one call, epoch by epoch: `Model.fit` prepares data and callbacks once, not every epoch."""

import sys
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Semaphore, Thread
from time import perf_counter

import keras

EPOCHS = sys.maxsize
"""Of a fit that ends when nobody asks for another epoch."""
ENDS_S = 60.0
"""What its last batch may take."""


class Turns(keras.callbacks.Callback):
    """Waits before every epoch until it is asked for, and tells how long it took, waiting left out.

    From the first batch to the end of the last. In between `tf.data` drops the epoch's iterator, which in some epochs
    waits for its tuner, for more than half of an epoch's time: not what a loop's speed is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked = Semaphore(0)
        self.told: SimpleQueue[float | BaseException] = SimpleQueue()
        self.ending = False

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self.asked.acquire()
        # Ends after one more batch.
        self.model.stop_training = self.ending

    def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
        if batch == 0:
            self._began = perf_counter()

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self._ended = perf_counter()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.told.put(self._ended - self._began)


def seconds(fit: Callable[[Turns], object]) -> Iterator[float]:
    """Seconds of each epoch of a fit over EPOCHS, which runs in a thread only while the next one is waited for."""
    turns = Turns()
    thread = Thread(target=_run, args=(fit, turns), daemon=True)
    thread.start()
    try:
        while True:
            turns.asked.release()
            took = turns.told.get()
            if isinstance(took, BaseException):
                raise took
            yield took
    finally:
        # The next measurement gets the memory.
        turns.ending = True
        turns.asked.release()
        thread.join(ENDS_S)


def _run(fit: Callable[[Turns], object], turns: Turns) -> None:
    try:
        fit(turns)
        turns.told.put(RuntimeError("the fit ended by itself; give it EPOCHS epochs"))
    except BaseException as error:
        turns.told.put(error)
