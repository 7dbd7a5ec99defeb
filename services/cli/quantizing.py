"""`bakeoff quantize`."""

from typing import Annotated, Any

import typer

from core.errors import InvalidInputError
from core.schemas.base import content_id, parse_json
from core.schemas.results import QuantizeResult
from core.schemas.specs import QuantizeSpec
from services.cli.context import Home, ends_well
from services.cli.formats import FormatOption, ListFormat, show
from services.cli.services import say
from services.cli.stack import Stack
from services.client.control import TrainerClient, raise_unless_succeeded


@ends_well
def quantize(
    model: Annotated[str, typer.Argument(help="Name of an ONNX model, see bakeoff models.")],
    version: Annotated[int | None, typer.Option(help="Version; default: the newest.", min=1)] = None,
    images: Annotated[int, typer.Option(help="Training images to calibrate on.", min=1, max=100_000)] = 512,
    seed: Annotated[int, typer.Option(help="Decides which images.", min=0)] = 0,
    style: FormatOption = ListFormat.TABLE,
) -> None:
    """Make an int8 model of an fp32 ONNX model, as a model of its own beside it: NAME-int8.

    Weights and activations become eight-bit integers (QDQ, per channel), with ranges from training images. The table
    says how far its probabilities are from the original's; an evaluation says what that costs in accuracy.
    """
    home = Home()
    repository = home.open_repository(model)
    number = version or repository.latest(model)
    source = repository.artifact(model, number)
    if source.format != "onnx":
        raise InvalidInputError(f"{model} is {source.format}; only ONNX models are quantised: export that format too")
    spec = QuantizeSpec(
        model=model, version=number, artifact=source.digest, data=source.data_fingerprint, images=images, seed=seed
    )
    service = f"trainer-{source.framework}"
    with Stack(home, say).with_services([service]), TrainerClient(home.directory.target(service)) as trainer:
        run_id = content_id(spec.kind, spec)
        trainer.create(run_id, spec)
        run = trainer.finish(run_id, lambda _event: None)
    raise_unless_succeeded(run)
    show([_row(parse_json(QuantizeResult, run.result_json, f"result of {run_id}"))], style)


def _row(result: QuantizeResult) -> dict[str, Any]:
    parity = result.model.parity
    return {
        "model": result.model.name,
        "version": result.model.version,
        "size_bytes": result.model.size_bytes,
        "fp32_bytes": result.source_bytes,
        "largest_difference": round(parity.largest_difference, 4),
        "mean_difference": round(parity.mean_difference, 5),
        "other_class": f"{parity.disagreements} of {parity.images}",
        "calibration_images": result.spec.images,
        "seconds": round(result.model.export_seconds, 1),
    }
