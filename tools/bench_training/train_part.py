"""The training part of fastai's epochs: `Learner.fit` sets up and validates too, which ours does not count either."""

from time import perf_counter

from fastai.callback.core import Callback


class TrainPart(Callback):
    """Times the batches of an epoch."""

    seconds = 0.0

    def before_train(self) -> None:
        self._began = perf_counter()

    def after_train(self) -> None:
        self.seconds = perf_counter() - self._began
