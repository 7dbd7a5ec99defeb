"""What a search for a learning rate sees of a framework's training, and that it can end one at any step."""

from pathlib import Path
from typing import Any

import numpy as np

from core.prepared import PreparedData
from core.schemas.data import DataSpec, DigitsSource, ImageSpec, PreparedManifest
from core.schemas.recipe import Recipe, complete
from core.schemas.specs import FindRateSpec
from core.worker import RunFolder
from tests.contract import networks
from trainer import rate_finder
from trainer.framework import Framework
from trainer.training import Machine

ARCHITECTURE = networks.CASES["mlp"]
BATCH, IMAGES, STEPS = 8, 59, 30
"""Seven whole batches an epoch: the last step is the second of the fifth epoch."""
SPANS = {"learns": (1e-5, 0.1), "explodes": (1e-8, 1e8)}
"""First rate and last."""


def examine(framework: Framework, folder: Path, facts: dict[str, Any]) -> None:
    """Adds what each search found to `facts`."""
    data = _prepared(folder / "searched")
    for mode in networks.MODES:
        for name, (lowest, highest) in SPANS.items():
            keys = {"epochs": 1, "batch_size": BATCH, "optimizer": {"name": "sgd"}}
            spec = FindRateSpec(
                framework=framework.name,
                seed=3,
                architecture=ARCHITECTURE.name,
                data=data.fingerprint,
                recipe=Recipe.model_validate(complete(mode, keys)),
                lowest=lowest,
                highest=highest,
                steps=STEPS,
            )
            found = rate_finder.find(framework, spec, data, RunFolder(data.directory), Machine(threads=1))
            facts[f"searched/{mode}/{name}"] = {
                "rates": found.rates,
                "losses": found.losses,
                "suggested": [found.valley, found.steep],
                "diverged": found.diverged,
            }


def _prepared(folder: Path) -> PreparedData:
    folder.mkdir()
    for name in ("train", "validation"):
        split = networks.images(ARCHITECTURE, IMAGES, name)
        np.save(folder / f"{name}.images.npy", split.images)
        np.save(folder / f"{name}.labels.npy", split.labels)
    height, width, _ = ARCHITECTURE.input_shape
    manifest = PreparedManifest(
        spec=DataSpec(source=DigitsSource(), image=ImageSpec(height=height, width=width, color="grey")),
        source_digest="none",
        classes=tuple(f"class {index}" for index in range(ARCHITECTURE.classes)),
        counts={},
        mean=(0.0,),
        std=(1.0,),
        decoder={},
        golden_indices=(),
        sha256={},
    )
    return PreparedData("0" * 64, folder, manifest)
