"""Keras's "Simple MNIST convnet": a Sequential model and one call of Model.fit, which `seconds` takes turns with."""

from collections.abc import Iterator

import keras
import numpy as np
from keras import layers
from one_call import EPOCHS, seconds


def epochs(
    images: np.ndarray, labels: np.ndarray, filters: tuple[int, ...], padding: int, batch_size: int
) -> Iterator[float]:
    model = keras.Sequential([keras.Input(images.shape[1:])])
    for number in filters:
        model.add(layers.Conv2D(number, 3, padding="same" if padding else "valid", activation="relu"))
        model.add(layers.MaxPooling2D(2))
    model.add(layers.Flatten())
    model.add(layers.Dense(128, activation="relu"))
    model.add(layers.Dropout(0.5))
    model.add(layers.Dense(10, activation="softmax"))
    # Beside a GPU Keras would compile with XLA, as our trainings on the CPU do not.
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    pixels = images.astype("float32") / 255
    yield from seconds(
        lambda turns: model.fit(pixels, labels, batch_size=batch_size, epochs=EPOCHS, verbose=0, callbacks=[turns])
    )
