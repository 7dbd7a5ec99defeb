"""Publishes an untrained network in one format. A process of its own: it holds one framework.

Arguments: framework, format, repository, model name.
"""

import sys
from pathlib import Path

import numpy as np

from core.schemas.data import ImageSpec
from core.schemas.recipe import Recipe
from tests.unit.serving.published import publish_files
from trainer.architectures import get_architecture
from trainer.framework import BuildSettings, get_framework
from trainer.weights import initial_weights

IMAGE = ImageSpec(height=8, width=8, color="grey")
CLASSES = tuple(f"class-{number}" for number in range(10))


def main(framework_name: str, format_name: str, repository: str, name: str) -> None:
    framework = get_framework(framework_name)
    architecture = get_architecture("digits-cnn", IMAGE.shape, len(CLASSES))
    settings = BuildSettings(Recipe(mode="matched", epochs=1), 0, (0.0,), (1.0,))
    model = framework.build(architecture, initial_weights(architecture, 0), settings)
    images = np.random.default_rng(0).integers(0, 256, (8, *IMAGE.shape), dtype=np.uint8)
    probabilities = framework.predict(model, images).astype(np.float32)
    publish_files(
        Path(repository),
        name,
        (images, probabilities),
        lambda folder: framework.export(model, format_name, folder),
        format_name,
        framework=framework_name,
        classes=CLASSES,
        preprocess=IMAGE,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
