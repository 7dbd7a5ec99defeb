"""tf.data as TensorFlow's guides write it: tf.io decodes, tf.image resizes and varies. No Keras."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.prepared import Split
from core.schemas.augmentation import Augmentation
from trainer.batches import Sampler
from trainer.frameworks._tf import tf
from trainer.originals import Originals

CACHED_BYTES = 512 << 20
"""The guide caches decoded images; beyond this they are decoded every epoch, so that memory does not grow with them."""
SHUFFLED = 1000
"""The guide's buffer, of decoded images; file names are shuffled completely before."""

Shape = tuple[int, int, int]


def batches(
    arrays: Split,
    originals: Originals | None,
    size: int,
    vary: Augmentation,
    shuffle_seed: int | None = None,
    sampler: Sampler = "shuffle",
) -> Any:
    """Batches ({"image": uint8 [n, height, width, channels]}, labels int64 [n]) of a split, read ahead.

    Args:
        originals: what to read; None: the prepared arrays.
        shuffle_seed: None keeps the split's order.
        sampler: how images are drawn where there is a seed.
    """
    balanced = sampler == "weighted" and shuffle_seed is not None
    if originals is not None:
        dataset = _original_images(originals, shuffle_seed, balanced)
    elif balanced and shuffle_seed is not None:
        dataset = balanced_rows(arrays, shuffle_seed)
    else:
        dataset = tf.data.Dataset.from_tensor_slices((arrays.images, arrays.labels))
        if shuffle_seed is not None:
            dataset = dataset.shuffle(len(arrays), seed=shuffle_seed)
    if vary.active:
        dataset = _varying(dataset, vary, shuffle_seed)
    dataset = dataset.batch(size)
    return dataset.map(lambda images, labels: ({"image": images}, labels)).prefetch(tf.data.AUTOTUNE)


def balanced_keys(keys: NDArray[Any], labels: NDArray[np.int64], seed: int) -> Any:
    """Pairs (key, label), as many an epoch as there are, every class equally likely.

    As the guide to imbalanced data has it: a shuffled, endless dataset of each class, and `sample_from_datasets`.
    """
    classes = []
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        one = tf.data.Dataset.from_tensor_slices((keys[mine], labels[mine]))
        classes.append(one.shuffle(len(mine), seed=seed).repeat())
    drawn = tf.data.Dataset.sample_from_datasets(classes, seed=seed, rerandomize_each_iteration=True)
    return drawn.take(len(labels))


def balanced_rows(arrays: Split, seed: int) -> Any:
    """Pairs (uint8 [height, width, channels], label) of prepared arrays, drawn likewise."""
    images = tf.constant(np.ascontiguousarray(arrays.images))
    places = balanced_keys(np.arange(len(arrays)), arrays.labels, seed)
    return places.map(lambda place, label: (images[place], label))


def rows(originals: Originals) -> Callable[[Any, Any], Any]:
    """A map function (place, label) → (uint8 image of its own size, label) that reads rows of a data set."""
    channels = originals.spec.channels

    def read(place: NDArray[np.int64]) -> NDArray[np.uint8]:
        pixels = np.asarray(originals.pillow(int(place)))
        return pixels.reshape(*pixels.shape[:2], channels)

    def load(place: Any, label: Any) -> Any:
        image = tf.numpy_function(read, [place], tf.uint8, stateful=False)
        return tf.ensure_shape(image, (None, None, channels)), label

    return load


def files(originals: Originals) -> Callable[[Any, Any], Any]:
    """A map function (path, label) → (uint8 image of its own size, label)."""

    def load(path: Any, label: Any) -> Any:
        image = tf.io.decode_image(tf.io.read_file(path), originals.spec.channels, expand_animations=False)
        return tf.ensure_shape(image, (None, None, originals.spec.channels)), label

    return load


def resized(image: Any, originals: Originals) -> Any:
    """To the size, in the geometry asked for; tf.image's filter (bilinear, not antialiased). uint8 in and out."""
    spec = originals.spec
    if spec.geometry == "pad":
        found = tf.image.resize_with_pad(image, spec.height, spec.width)
    elif spec.geometry == "crop":
        found = tf.image.resize(_window(image, spec.width / spec.height), (spec.height, spec.width))
    else:
        found = tf.image.resize(image, (spec.height, spec.width))
    return tf.saturate_cast(tf.round(found), tf.uint8)


def varied(image: Any, vary: Augmentation, seed: Any) -> Any:
    """One image, uint8 in and out. tf.image has flips, crops and brightness, a number added to every pixel; rotation,
    zoom and shift are the operator that TensorFlow's own layers use, with black from outside.

    Args:
        seed: int64 [2], of this image alone.
    """
    shape = image.shape
    flip, flip_vertical, move, crop, brightness = tf.unstack(tf.random.split(seed, 5))
    if vary.flip:
        image = tf.image.stateless_random_flip_left_right(image, flip)
    if vary.flip_vertical:
        image = tf.image.stateless_random_flip_up_down(image, flip_vertical)
    if vary.resamples:
        image = _moved(image, vary, move)
    if vary.crop:
        padded = tf.image.resize_with_crop_or_pad(image, shape[0] + 2 * vary.crop, shape[1] + 2 * vary.crop)
        image = tf.image.stateless_random_crop(padded, shape, crop)
    if vary.brightness:
        image = tf.image.stateless_random_brightness(image, vary.brightness, brightness)
    return tf.ensure_shape(image, shape)


def keys_of(originals: Originals) -> NDArray[Any]:
    """What the map functions `files` and `rows` take: paths, or places in a data set."""
    return np.array([str(path) for path in originals.paths]) if originals.paths else np.arange(len(originals))


def _varying(dataset: Any, vary: Augmentation, seed: int | None) -> Any:
    # An operator that draws by itself starts anew inside every epoch's iterator: all epochs would be varied alike.
    seeds = tf.data.Dataset.random(seed, rerandomize_each_iteration=True).batch(2, drop_remainder=True)

    def change(pair: tuple[Any, Any], own: Any) -> tuple[Any, Any]:
        image, label = pair
        return varied(image, vary, own), label

    return tf.data.Dataset.zip(dataset, seeds).map(change, num_parallel_calls=tf.data.AUTOTUNE)


def _original_images(originals: Originals, shuffle_seed: int | None, balanced: bool) -> Any:
    originals.refuse_unreadable("tensorflow")
    load = files(originals) if originals.paths else rows(originals)
    height, width, channels = originals.spec.shape
    # Kept, the images drawn for the first epoch would be those of all.
    cached = len(originals) * height * width * channels <= CACHED_BYTES and not balanced
    if balanced and shuffle_seed is not None:
        dataset = balanced_keys(keys_of(originals), originals.labels, shuffle_seed)
    else:
        dataset = tf.data.Dataset.from_tensor_slices((keys_of(originals), originals.labels))
    if shuffle_seed is not None and not balanced:
        dataset = dataset.shuffle(len(originals), seed=shuffle_seed, reshuffle_each_iteration=not cached)

    def decode(key: Any, label: Any) -> Any:
        image, label = load(key, label)
        return tf.ensure_shape(resized(image, originals), originals.spec.shape), label

    dataset = dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE)
    if not cached:
        return dataset
    dataset = dataset.cache()
    return dataset if shuffle_seed is None else dataset.shuffle(SHUFFLED, seed=shuffle_seed)


def _window(image: Any, ratio: float) -> Any:
    """The largest window of width to height `ratio` in the middle of an image."""
    height, width = tf.unstack(tf.cast(tf.shape(image)[:2], tf.float32))
    target_height = tf.cast(tf.round(tf.minimum(height, width / ratio)), tf.int32)
    target_width = tf.cast(tf.round(tf.minimum(width, height * ratio)), tf.int32)
    return tf.image.resize_with_crop_or_pad(image, target_height, target_width)


def _moved(image: Any, vary: Augmentation, seed: Any) -> Any:
    height, width = float(image.shape[0]), float(image.shape[1])
    turn, grow, right, down = tf.unstack(tf.random.stateless_uniform([4], seed, -1.0, 1.0))
    angle, scale = turn * vary.rotate * (np.pi / 180.0), 1.0 / (1.0 + grow * vary.zoom)
    shift_x, shift_y = right * vary.shift * width, down * vary.shift * height
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    # The operator's pixels have their centres at whole numbers.
    middle_x, middle_y = (width - 1.0) / 2.0, (height - 1.0) / 2.0
    x, y = middle_x + shift_x, middle_y + shift_y
    rows_of = [cos, sin, middle_x - cos * x - sin * y, -sin, cos, middle_y + sin * x - cos * y, 0.0, 0.0]
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        # Given bytes, the operator cuts fractions off.
        images=tf.cast(image, tf.float32)[tf.newaxis],
        transforms=tf.stack(rows_of)[tf.newaxis],
        output_shape=tf.constant([*image.shape[:2]], tf.int32),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return tf.saturate_cast(tf.round(moved[0]), tf.uint8)
