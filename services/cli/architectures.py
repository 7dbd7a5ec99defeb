"""`bakeoff architectures`: the networks as layer tables and diagrams."""

from pathlib import Path
from typing import Annotated

import typer
from bakeoff.trainer.v1 import trainer_service_pb2 as pb

from core import files
from core.errors import InvalidInputError
from core.schemas.specs import FRAMEWORKS
from services.cli import diagram
from services.cli.context import Home, ends_well, out
from services.cli.formats import FormatOption, ListFormat, show
from services.cli.services import say
from services.cli.stack import Stack
from services.client.control import TrainerClient


@ends_well
def architectures(
    name: Annotated[str | None, typer.Argument(help="Network to show; default: list all.")] = None,
    shape: Annotated[str, typer.Option("--input", help="Input as HEIGHTxWIDTHxCHANNELS.")] = "",
    classes: Annotated[int, typer.Option(help="Number of classes; default: what it was designed for.", min=0)] = 0,
    picture: Annotated[Path | None, typer.Option("--diagram", help="Write the diagram to this SVG file.")] = None,
    style: FormatOption = ListFormat.TABLE,
) -> None:
    """List the networks, or show one as a table and a diagram; it is the same in every framework."""
    home = Home()
    stack = Stack(home, say)
    trainers = [f"trainer-{framework}" for framework in FRAMEWORKS]
    # Any trainer can answer, and none needs its framework for it.
    service = next((trainer for trainer in trainers if not stack.missing([trainer])), trainers[0])
    with stack.with_services([service]), TrainerClient(home.directory.target(service)) as trainer:
        if name is None:
            rows = [{"name": entry.name, "description": entry.description} for entry in trainer.architectures()]
            show(rows, style)
            return
        found = trainer.describe(name, parse_shape(shape), classes)
    _show_one(found, style)
    if picture is not None:
        files.write_text(picture, diagram.svg(found))
        say(f"diagram: {picture}")


def parse_shape(text: str) -> tuple[int, ...]:
    """`28x28x1` as (28, 28, 1); empty text as no shape."""
    if not text:
        return ()
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise InvalidInputError(f"--input {text!r} is not valid: expected HEIGHTxWIDTHxCHANNELS, for example 28x28x1")
    return tuple(int(part) for part in parts)


def _show_one(found: pb.DescribeArchitectureResponse, style: ListFormat) -> None:
    rows = [
        {
            "layer": row.path,
            "type": "  " * row.depth + row.type,
            "output_shape": "×".join(map(str, row.output_shape)),
            "parameters": row.parameters,
        }
        for row in found.layers
    ]
    if style is ListFormat.JSON:
        show(rows, style)
        return
    size = "×".join(map(str, found.input_shape))
    show(rows, style, title=f"{found.name}: {found.description} Input {size}, {found.classes} classes.")
    total = found.trainable_parameters + found.frozen_parameters
    out.print(f"\n{total:,} parameters, {found.trainable_parameters:,} trainable, {found.frozen_parameters:,} not\n")
    out.print(diagram.text(found), highlight=False, markup=False)
