"""Publishes the benchmark's networks as ONNX, with the initial weights of seed 0: speed does not depend on training.

A process of its own, because it holds PyTorch: `python -m tools.bench.models REPOSITORY COPIES`.
"""

import shutil
import sys
from pathlib import Path

import numpy as np

from core.repository import ModelRepository
from core.schemas.data import ImageSpec
from core.schemas.recipe import Recipe
from tests.unit.serving.published import publish_files
from trainer.architectures import get_architecture
from trainer.framework import BuildSettings, get_framework
from trainer.weights import initial_weights

NETWORKS = {"mnist-cnn": (ImageSpec(height=28, width=28, color="grey"), 10),
            "cnn5": (ImageSpec(height=150, width=150, color="grey"), 2)}  # fmt: skip


def publish(repository: Path, network: str, name: str) -> None:
    """The network as the next version of `name`, with eight random images as golden cases."""
    image, classes = NETWORKS[network]
    framework = get_framework("pytorch")
    architecture = get_architecture(network, image.shape, classes)
    settings = BuildSettings(Recipe(mode="matched", epochs=1), 0, (0.0,), (1.0,))
    model = framework.build(architecture, initial_weights(architecture, 0), settings)
    images = np.random.default_rng(0).integers(0, 256, (8, *image.shape), dtype=np.uint8)
    probabilities = framework.predict(model, images).astype(np.float32)
    publish_files(
        repository,
        name,
        (images, probabilities),
        lambda folder: framework.export(model, "onnx", folder),
        "onnx",
        framework="pytorch",
        classes=tuple(f"class-{number}" for number in range(classes)),
        preprocess=image,
    )


def copy(source: Path, network: str, repository: Path, name: str) -> None:
    """The same files under another name."""
    artifact, folder = ModelRepository(source).artifact(network, 1), source / network / "1"
    cases = np.load(folder / "golden/images.npy"), np.load(folder / "golden/probabilities.npy")
    publish_files(
        repository,
        name,
        cases,
        lambda staged: shutil.copy(folder / "model.onnx", staged),
        "onnx",
        framework=artifact.framework,
        classes=artifact.classes,
        preprocess=artifact.preprocess,
    )


if __name__ == "__main__":
    root, copies = Path(sys.argv[1]), int(sys.argv[2])
    for network in NETWORKS:
        publish(root / "models", network, network)
    for number in range(copies):
        copy(root / "models", "mnist-cnn", root / "many", f"mnist-cnn-{number}")
