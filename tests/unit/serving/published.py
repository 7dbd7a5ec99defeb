"""Publishes small models into a repository, for tests of the serving layer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.formats import get_format
from core.repository import ModelRepository
from core.schemas.artifact import Artifact, ArtifactFile, Golden
from core.schemas.data import ImageSpec
from core.schemas.metrics import EpochMetrics
from core.schemas.recipe import Recipe

SHAPE = (6, 5, 1)
CLASSES = ("zero", "one", "two")
EPOCH = EpochMetrics(
    epoch=1,
    train_loss=1,
    train_accuracy=1,
    validation_loss=1,
    validation_accuracy=1,
    train_seconds=1,
    validation_seconds=1,
)
Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def weights(seed: int = 0) -> NDArray[np.float32]:
    """Of a linear classifier, [pixels, classes]."""
    drawn = np.random.default_rng(seed).normal(size=(int(np.prod(SHAPE)), len(CLASSES)))
    return drawn.astype(np.float32)


def linear(kernel: NDArray[np.float32]) -> Predict:
    """softmax(pixels / 255 · kernel): the same function as `tests.system.onnx_models.linear_model`."""

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        logits = (images.reshape(len(images), -1).astype(np.float32) / np.float32(255)) @ kernel
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)

    return predict


def images(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Random pixels, uint8 [count, height, width, channels]."""
    return np.random.default_rng(seed).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


def publish(
    root: Path | ModelRepository,
    name: str,
    predict: Predict,
    model: bytes = b"model",
    format_name: str = "onnx",
    **changes: Any,
) -> Artifact:
    """Publishes the next version of a model whose file is `model`; `changes` override fields of its manifest."""
    golden = images(4, seed=9)
    path = get_format(format_name).path
    return publish_files(
        root, name, (golden, predict(golden)), lambda folder: (folder / path).write_bytes(model), format_name, **changes
    )


def publish_files(
    root: Path | ModelRepository,
    name: str,
    cases: tuple[NDArray[np.uint8], NDArray[np.float32]],
    write: Callable[[Path], object],
    format_name: str,
    **changes: Any,
) -> Artifact:
    """Publishes the next version of a model that `write` puts into a folder; `cases` are golden images and answers."""
    repository = root if isinstance(root, ModelRepository) else ModelRepository(root)
    with repository.staging() as staging:
        write(staging)
        (staging / "golden").mkdir()
        np.save(staging / "golden/images.npy", cases[0])
        np.save(staging / "golden/probabilities.npy", cases[1])

        def describe(version: int, files: tuple[ArtifactFile, ...]) -> Artifact:
            fields: dict[str, Any] = {
                "name": name,
                "version": version,
                "format": format_name,
                "framework": "keras",
                "libraries": {},
                "experiment": "test",
                "arm": "arm",
                "seed": 0,
                "run_id": "run",
                "architecture": "linear",
                "parameters": 90,
                "trainable_parameters": 90,
                "classes": CLASSES,
                "preprocess": ImageSpec(height=SHAPE[0], width=SHAPE[1], color="grey"),
                "data_fingerprint": "0" * 64,
                "recipe": Recipe(mode="matched", epochs=1),
                "metrics": EPOCH,
                "golden": Golden(files=()),
                "files": files,
            }
            return Artifact(**{**fields, **changes})

        return repository.publish(staging, describe, name)
