"""Keras's own way from original images to batches: image_dataset_from_directory and preprocessing layers."""

from typing import Any

import keras
from keras import layers

from core.schemas.augmentation import Augmentation
from core.schemas.recipe import Recipe
from trainer.framework import TrainingData
from trainer.frameworks import _tf_data
from trainer.frameworks._tf import tf, untuned
from trainer.originals import Originals


def batches(data: TrainingData, split: str, recipe: Recipe, size: int, shuffle_seed: int | None = None) -> Any:
    """Batches (uint8 [n, height, width, channels], labels) of a split; shuffled and augmented where there is a seed."""
    originals = data.original(split)
    arrays = data.train if split == "train" else data.validation
    balanced = recipe.sampler == "weighted" and shuffle_seed is not None
    if originals is None and balanced and shuffle_seed is not None:
        dataset = _tf_data.balanced_rows(arrays, shuffle_seed).batch(size)
    elif originals is None:
        dataset = tf.data.Dataset.from_tensor_slices((arrays.images, arrays.labels))
        if shuffle_seed is not None:
            dataset = dataset.shuffle(len(arrays), seed=shuffle_seed)
        dataset = dataset.batch(size)
    elif originals.paths and not balanced:
        dataset = _from_directory(originals, size, shuffle_seed)
    else:
        dataset = _from_rows(originals, size, shuffle_seed, balanced)
    vary = recipe.augmentation if shuffle_seed is not None else Augmentation()
    # Layers draw new numbers in every call; the network, and so the exported graph, never holds them.
    chain = augmenting(vary, arrays.images.shape[1:3], shuffle_seed or 0)
    if originals is None and not chain:  # Whole numbers already, and nothing to tune.
        return untuned(dataset.prefetch(2))

    def finish(images: Any, labels: Any) -> Any:
        for layer in chain:
            images = layer(images, training=True)
        return tf.saturate_cast(tf.round(tf.cast(images, tf.float32)), tf.uint8), labels

    return dataset.map(finish, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def augmenting(vary: Augmentation, size: tuple[int, ...], seed: int) -> list[Any]:
    """Keras's layers with these figures: reflection at the border, and brightness adds a share of 255 to every pixel.

    Padding and RandomCrop have black around the image.
    """
    found: list[Any] = []
    # Two layers: "horizontal_and_vertical" draws once for both, which turns half of the images by 180 degrees.
    if vary.flip:
        found.append(layers.RandomFlip("horizontal", seed=seed))
    if vary.flip_vertical:
        found.append(layers.RandomFlip("vertical", seed=seed + 6))
    if vary.rotate:
        found.append(layers.RandomRotation(vary.rotate / 360, seed=seed + 1))
    if vary.zoom:
        found.append(layers.RandomZoom(vary.zoom, seed=seed + 2))
    if vary.shift:
        found.append(layers.RandomTranslation(vary.shift, vary.shift, seed=seed + 3))
    if vary.crop:
        found += [layers.ZeroPadding2D(vary.crop), layers.RandomCrop(*size, seed=seed + 4)]
    if vary.brightness:
        found.append(layers.RandomBrightness(vary.brightness, value_range=(0, 255), seed=seed + 5))
    return found


def _from_directory(originals: Originals, size: int, shuffle_seed: int | None) -> Any:
    originals.refuse_unreadable("keras")
    spec = originals.spec
    return keras.utils.image_dataset_from_directory(
        str(originals.class_folders()),
        color_mode="grayscale" if spec.channels == 1 else "rgb",
        batch_size=size,
        image_size=(spec.height, spec.width),
        shuffle=shuffle_seed is not None,
        seed=shuffle_seed,
        follow_links=True,
        crop_to_aspect_ratio=spec.geometry == "crop",
        pad_to_aspect_ratio=spec.geometry == "pad",
        verbose=False,
    )


def _from_rows(originals: Originals, size: int, shuffle_seed: int | None, balanced: bool) -> Any:
    """Rows of a data set through tf.data and Keras's Resizing layer, as image_dataset_from_directory does for files.

    Files too where classes are drawn equally often: image_dataset_from_directory cannot.
    """
    originals.refuse_unreadable("keras")
    spec = originals.spec
    resize = layers.Resizing(
        spec.height,
        spec.width,
        crop_to_aspect_ratio=spec.geometry == "crop",
        pad_to_aspect_ratio=spec.geometry == "pad",
    )
    load = _tf_data.files(originals) if originals.paths else _tf_data.rows(originals)
    if balanced and shuffle_seed is not None:
        dataset = _tf_data.balanced_keys(_tf_data.keys_of(originals), originals.labels, shuffle_seed)
    else:
        dataset = tf.data.Dataset.from_tensor_slices((_tf_data.keys_of(originals), originals.labels))
        if shuffle_seed is not None:
            dataset = dataset.shuffle(len(originals), seed=shuffle_seed)

    def decode(place: Any, label: Any) -> Any:
        image, label = load(place, label)
        return tf.ensure_shape(resize(image), spec.shape), label

    return dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(size)
