"""`bakeoff models` and `bakeoff predict`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from core.formats import get_format
from services.cli.context import Home, ends_well
from services.cli.formats import FormatOption, ListFormat, show
from services.cli.services import say
from services.cli.stack import Stack
from services.client.inference import InferenceClient
from services.client.tensors import Prediction

LOAD_TIMEOUT_S = 120.0


@ends_well
def models(
    production: Annotated[bool, typer.Option("--production", help="The promoted ones, with their origin.")] = False,
    style: FormatOption = ListFormat.TABLE,
) -> None:
    """List the models of the repository."""
    home = Home()
    repository = home.open_production() if production else home.open_repository()
    rows: list[dict[str, Any]] = []
    for name in repository.models():
        for version in repository.versions(name):
            artifact = repository.artifact(name, version)
            origin = artifact.origin
            source = {"origin": f"{origin.action} {origin.name} {origin.version}" if origin else None}
            rows.append(
                {
                    "model": name,
                    "version": version,
                    "format": artifact.format,
                    "precision": artifact.precision,
                    "runtime": get_format(artifact.format).runtime,
                    "framework": artifact.framework,
                    "architecture": artifact.architecture,
                    "parameters": artifact.parameters,
                    "size_bytes": artifact.size_bytes,
                    # Of the weights that were trained; what became of them by quantisation nobody has scored yet.
                    "validation_accuracy": None if artifact.quantization else artifact.metrics.validation_accuracy,
                    "sha256": artifact.digest[:12],
                    **(source if production else {}),
                }
            )
    if not rows and style is ListFormat.TABLE:
        say(f"no models in {repository.place} yet; bakeoff {'promote' if production else 'run'} publishes some")
        return
    show(rows, style)


@ends_well
def predict(
    model: Annotated[str, typer.Option("--model", help="Name of a model, see bakeoff models.")],
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    version: Annotated[int | None, typer.Option(help="Version; default: the newest.", min=1)] = None,
    top: Annotated[int, typer.Option(help="Classes to show per image.", min=1)] = 3,
    style: FormatOption = ListFormat.TABLE,
) -> None:
    """Classify image files with a served model, decoded and resized as in its training."""
    home = Home()
    repository = home.open_repository(model)
    number = version or repository.latest(model)
    artifact = repository.artifact(model, number)
    service = f"serving-{get_format(artifact.format).runtime}"
    with Stack(home, say).with_services([service]):
        prediction = _predict(home.directory.target(service), model, number, images)
    rows = []
    for path, probabilities in zip(images, prediction.probabilities, strict=True):
        order = probabilities.argsort()[::-1][:top]
        best = {f"{rank}": f"{artifact.classes[i]} {probabilities[i]:.4f}" for rank, i in enumerate(order, 1)}
        full = {"probabilities": {artifact.classes[i]: float(probabilities[i]) for i in order}}
        rows.append({"image": str(path)} | (full if style is ListFormat.JSON else best))
    show(rows, style)


def _predict(target: str, model: str, version: int, images: list[Path]) -> Prediction:
    with InferenceClient(target, timeout_s=LOAD_TIMEOUT_S) as client:
        if not client.model_ready(model, version):
            client.load_model(model)
        return client.predict_files(model, images, version=version)
