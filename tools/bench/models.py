"""Publishes the benchmark's networks as ONNX, with the initial weights of seed 0: speed does not depend on training.

A process of its own, because it holds PyTorch: `python -m tools.bench.models REPOSITORY COPIES`.
"""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from core import runtimes
from core.repository import ModelRepository
from core.schemas.artifact import Golden
from core.schemas.data import ImageSpec
from core.schemas.recipe import Recipe
from tests.unit.serving.published import publish_files
from tools.bench.rows import INT8
from trainer.architectures import get_architecture
from trainer.framework import BuildSettings, get_framework
from trainer.frameworks._onnx_quantization import quantize_static
from trainer.quantization import TOLERANCE
from trainer.weights import initial_weights

NETWORKS = {"mnist-cnn": (ImageSpec(height=28, width=28, color="grey"), 10),
            "cnn5": (ImageSpec(height=150, width=150, color="grey"), 2)}  # fmt: skip
CALIBRATION = 128
"""Random images that int8's ranges are taken from."""


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


def quantize(repository: Path, network: str) -> None:
    """The network in int8, as `bakeoff quantize` makes it: its golden cases are its own answers."""
    image, _ = NETWORKS[network]
    artifact, folder = ModelRepository(repository).artifact(network, 1), repository / network / "1"
    images = np.random.default_rng(1).integers(0, 256, (CALIBRATION, *image.shape), dtype=np.uint8)
    golden = np.load(folder / "golden/images.npy")
    with TemporaryDirectory() as temporary:
        path = Path(temporary) / "model.onnx"
        quantize_static(folder / path.name, path, images)
        publish_files(
            repository,
            network + INT8,
            (golden, runtimes.load("onnx", path, 1)(golden)),
            lambda staged: shutil.copy(path, staged),
            "onnx",
            framework=artifact.framework,
            classes=artifact.classes,
            preprocess=artifact.preprocess,
            precision="int8",
            golden=Golden(files=(), tolerance=TOLERANCE),
        )


if __name__ == "__main__":
    root, copies = Path(sys.argv[1]), int(sys.argv[2])
    for network in NETWORKS:
        publish(root / "models", network, network)
        quantize(root / "models", network)
    for number in range(copies):
        copy(root / "models", "mnist-cnn", root / "many", f"mnist-cnn-{number}")
