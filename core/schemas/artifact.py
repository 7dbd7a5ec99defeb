"""`artifact.json`: everything a server or a reader needs to know about one exported model."""

import hashlib
from typing import Literal

import pydantic

from core.schemas.base import Name, Schema, Sha256, canonical_json
from core.schemas.data import ImageSpec
from core.schemas.metrics import EpochMetrics, Parity
from core.schemas.names import FormatName, Framework
from core.schemas.recipe import Recipe
from core.schemas.scores import Operating


class ArtifactFile(Schema):
    """One file of the version folder; its path is relative to it and uses forward slashes."""

    path: str
    sha256: Sha256
    size_bytes: int


class Golden(Schema):
    """Cases a server must reproduce before the model is ready. Arrays lie in `golden/` beside this file."""

    files: tuple[str, ...]
    """Encoded images, `golden/0.png` …, that `core.preprocess` turns into the rows of `golden/images.npy`."""
    images: str = "golden/images.npy"
    """uint8 [n, height, width, channels]."""
    probabilities: str = "golden/probabilities.npy"
    """float32 [n, classes], as the model in memory gave them."""
    tolerance: float = 1e-4
    """Largest absolute difference allowed."""


class OnnxFacts(Schema):
    """What the exporter left in the file, read back from it."""

    opset: int
    ir_version: int
    transposes: int


class Origin(Schema):
    """Where a version came from that was copied instead of exported."""

    action: Literal["promote", "rollback"]
    name: Name
    """The model that was copied: a candidate's name, or the model's own name after a rollback."""
    version: int = pydantic.Field(ge=1)
    at: pydantic.AwareDatetime
    """When it was published here."""


class Quantization(Schema):
    """How an int8 model was made from an fp32 one, and what changed by it."""

    model: Name
    version: int = pydantic.Field(ge=1)
    artifact: Sha256
    """Digest of the fp32 artefact."""
    images: int
    """Training images it was calibrated on."""
    seed: int
    """Decides which."""
    parity: Parity
    """int8 against fp32 on test images, both on ONNX Runtime."""


class Artifact(Schema):
    """One version of one model."""

    schema_version: Literal[1] = 1
    name: Name
    version: int = pydantic.Field(ge=1)
    format: FormatName
    precision: Literal["fp32", "int8"] = "fp32"
    framework: Framework
    libraries: dict[str, str]
    experiment: Name
    arm: Name
    seed: int
    run_id: str
    architecture: str
    parameters: int
    trainable_parameters: int
    classes: tuple[str, ...]
    preprocess: ImageSpec
    """How an encoded image becomes the input; scaling and normalisation are inside the graph."""
    data_fingerprint: Sha256
    recipe: Recipe
    metrics: EpochMetrics
    """Of the trained weights; an int8 model keeps those of the fp32 model it was made from."""
    onnx: OnnxFacts | None = None
    quantization: Quantization | None = None
    """None for what a framework exported."""
    golden: Golden
    files: tuple[ArtifactFile, ...]
    origin: Origin | None = None
    """None for what a trainer exported."""
    operating: Operating | None = None
    """Temperature and threshold, as chosen on validation data; comes with a promotion. The graph knows nothing of it.
    """

    @property
    def digest(self) -> str:
        """sha256 over the paths and hashes of the files: two artefacts are the same bytes or differ here."""
        listing = canonical_json([[file.path, file.sha256] for file in self.files])
        return hashlib.sha256(listing.encode()).hexdigest()

    @property
    def size_bytes(self) -> int:
        """Bytes of the model itself, golden cases not counted."""
        return sum(file.size_bytes for file in self.files if not file.path.startswith("golden/"))
