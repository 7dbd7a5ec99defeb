"""A network as a picture: SVG for documents, one line of blocks for the terminal."""

from html import escape
from math import log2, prod

from bakeoff.trainer.v1 import trainer_service_pb2 as pb

COLOURS = {
    "conv": "#4c78a8", "batch": "#9ecae9", "relu": "#f2cf5b", "tanh": "#f2cf5b", "sigmoid": "#f2cf5b", "max": "#72b7b2",
    "average": "#72b7b2", "global": "#72b7b2", "dropout": "#bab0ac", "flatten": "#d6d6d6", "dense": "#e45756",
    "residual": "#b279a2",
}  # fmt: skip
WIDTH, GAP, MARGIN, TALLEST = 34, 14, 24, 150


def text(found: pb.DescribeArchitectureResponse) -> str:
    """The trunk as `28×28×1 → conv 32 3×3 → …`, activations joined to the layer before them."""
    size = "×".join(map(str, found.input_shape))
    parts = [f"[{size}]"]
    for row in found.layers:
        if row.depth:
            continue
        if row.type in ("relu", "tanh", "sigmoid", "batch norm"):
            parts[-1] += f" + {row.type}"
        else:
            parts.append(f"{row.type} [{'×'.join(map(str, row.output_shape))}]")
    return " → ".join([*parts, f"{found.classes} probabilities"])


def svg(found: pb.DescribeArchitectureResponse) -> str:
    """The trunk as blocks whose height follows the image size and whose depth of shade the layer's kind."""
    rows = [row for row in found.layers if not row.depth]
    width = 2 * MARGIN + (len(rows) + 1) * (WIDTH + GAP)
    height = TALLEST + 190
    blocks = [_block(0, "input", list(found.input_shape), 0, found.input_shape[0])]
    for index, row in enumerate(rows, 1):
        blocks.append(_block(index, row.type, list(row.output_shape), row.parameters, found.input_shape[0]))
    total = found.trainable_parameters + found.frozen_parameters
    title = f"{found.name}: {total:,} parameters, {found.trainable_parameters:,} trainable"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="system-ui, sans-serif" font-size="11" role="img" aria-label="{escape(title)}">'
        f'<rect width="100%" height="100%" fill="#ffffff"/>'
        f'<text x="{MARGIN}" y="24" font-size="15" font-weight="600" fill="#222">{escape(title)}</text>'
        f"{''.join(blocks)}</svg>\n"
    )


def _block(index: int, kind: str, shape: list[int], parameters: int, input_height: int) -> str:
    """One layer: a box as tall as its image (logarithmic), with kind, shape and parameters written along it."""
    tall = TALLEST * max(0.12, log2(1 + shape[0]) / log2(1 + input_height)) if len(shape) == 3 else TALLEST * 0.45
    tall = min(tall, TALLEST)
    x, middle = MARGIN + index * (WIDTH + GAP), 50 + TALLEST / 2
    colour = COLOURS.get(kind.split()[0], "#eeeeee")
    label = f"{kind} · {'×'.join(map(str, shape))}" + (f" · {parameters:,}" if parameters else "")
    arrow = f'<path d="M{x - GAP} {middle}h{GAP - 3}" stroke="#999"/>' if index else ""
    return (
        f'{arrow}<rect x="{x}" y="{middle - tall / 2:.1f}" width="{WIDTH}" height="{tall:.1f}" rx="4" fill="{colour}">'
        f"<title>{escape(label)} ({prod(shape):,} values)</title></rect>"
        f'<text transform="translate({x + 8} {60 + TALLEST}) rotate(38)" fill="#333">{escape(label)}</text>'
    )
