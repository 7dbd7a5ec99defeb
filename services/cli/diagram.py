"""A network as a picture: SVG for documents, one line of blocks for the terminal."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from math import ceil, cos, log2, radians, sin

from bakeoff.trainer.v1 import trainer_service_pb2 as pb

COLOURS = {
    "conv": "#4c78a8", "batch": "#9ecae9", "relu": "#f2cf5b", "tanh": "#f2cf5b", "sigmoid": "#f2cf5b", "max": "#72b7b2",
    "average": "#72b7b2", "global": "#72b7b2", "dropout": "#bab0ac", "flatten": "#d6d6d6", "dense": "#e45756",
    "residual": "#b279a2", "input": "#eeeeee",
}  # fmt: skip
JOINED = ("batch norm", "relu", "tanh", "sigmoid", "dropout")
"""Layers that keep the shape: drawn as a strip on the layer before them."""
UNSAID = re.compile(r" pad \d+| no bias")
"""What labels and lines leave to the tooltip and the layer table."""
WIDTH, STRIP, GAP, MARGIN, TALLEST, TOP = 30, 7, 18, 24, 150, 84
LETTER, SLANT = 6.2, 38
"""Width of a letter, generously, and the angle of the labels in degrees."""
LEGEND = {"batch norm": "batch", "activation": "relu", "dropout": "dropout", "shortcut": "residual"}

STROKE = 'fill="none" stroke="#7b5172" stroke-width="1.5"'


@dataclass(frozen=True)
class Block:
    """A layer of the trunk with the strips joined to it, as often as it is repeated."""

    kind: str
    shape: tuple[int, ...]
    parameters: int = 0
    strips: tuple[str, ...] = ()
    inner: tuple[str, ...] = ()
    """What a residual block adds to its input, layer by layer."""
    projected: bool = False
    times: int = 1

    @property
    def label(self) -> str:
        """Short; the strips are explained by their colours."""
        parts = [UNSAID.sub("", self.kind), "×".join(map(str, self.shape))]
        parts += [f"{self.parameters:,}" + " each" * (self.times > 1)] * (self.parameters > 0)
        return f"{self.times} × " * (self.times > 1) + " · ".join(parts)

    @property
    def tip(self) -> str:
        """Every layer of the block, one line each."""
        return "\n".join([self.label, *(self.inner or (self.kind,)), *self.strips])

    @property
    def width(self) -> int:
        return WIDTH + STRIP * len(self.strips)


@dataclass
class _Open:
    """A block that is being put together from its rows."""

    row: pb.LayerRow
    strips: list[str] = field(default_factory=list)
    inside: list[pb.LayerRow] = field(default_factory=list)

    def close(self) -> Block:
        body = [row.type for row in self.inside if ".body." in row.path and not row.type.startswith(JOINED)]
        return Block(
            kind=_kind(self.row.type, body),
            shape=tuple(self.row.output_shape),
            parameters=self.row.parameters + sum(row.parameters for row in self.inside),
            strips=tuple(self.strips),
            inner=tuple(row.type for row in self.inside),
            projected=any(".shortcut." in row.path for row in self.inside),
        )


def text(found: pb.DescribeArchitectureResponse) -> str:
    """The trunk as `28×28×1 → conv 32 3×3 + relu [26×26×32] → …`, equal neighbours counted."""
    parts = [
        f"{block.times} × " * (block.times > 1)
        + " + ".join([UNSAID.sub("", block.kind), *block.strips])
        + f" [{'×'.join(map(str, block.shape))}]"
        for block in blocks(found)
    ]
    return " → ".join(["×".join(map(str, found.input_shape)), *parts, f"{found.classes} probabilities"])


def svg(found: pb.DescribeArchitectureResponse) -> str:
    """The trunk as blocks as tall as their images (logarithmic), coloured by kind, shortcuts drawn as arcs."""
    drawn = [Block("input", tuple(found.input_shape)), *blocks(found)]
    starts = [MARGIN]
    for block in drawn:
        starts.append(starts[-1] + block.width + GAP)
    ends = [(x + len(block.label) * LETTER * cos(radians(SLANT))) for block, x in zip(drawn, starts, strict=False)]
    width = ceil(max(*ends, 560)) + MARGIN
    longest = max(len(block.label) for block in drawn)
    height = ceil(TOP + TALLEST + 24 + longest * LETTER * sin(radians(SLANT)))
    content = "".join(
        _block(block, x, found.input_shape[0], index > 0)
        for index, (block, x) in enumerate(zip(drawn, starts, strict=False))
    )
    total = found.trainable_parameters + found.frozen_parameters
    title = f"{found.name}: {total:,} parameters, {found.trainable_parameters:,} trainable"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="system-ui, sans-serif" font-size="11" role="img" aria-label="{escape(title)}">'
        f'<rect width="100%" height="100%" fill="#ffffff"/>'
        f'<text x="{MARGIN}" y="24" font-size="15" font-weight="600" fill="#222">{escape(title)}</text>'
        f"{_legend()}{content}</svg>\n"
    )


def blocks(found: pb.DescribeArchitectureResponse) -> list[Block]:
    """The trunk, strips joined to their layers and equal neighbours counted."""
    merged: list[Block] = []
    for block in _blocks(found.layers):
        if merged and replace(merged[-1], times=1) == block:
            merged[-1] = replace(block, times=merged[-1].times + 1)
        else:
            merged.append(block)
    return merged


def _blocks(rows: Sequence[pb.LayerRow]) -> Iterator[Block]:
    current: _Open | None = None
    for row in rows:
        if current and row.depth:
            current.inside.append(row)
        elif current and row.type.startswith(JOINED):
            current.strips.append(row.type)
            current.inside += [row] if row.parameters else []
        else:
            if current:
                yield current.close()
            current = _Open(row)
    if current:
        yield current.close()


def _kind(kind: str, body: list[str]) -> str:
    """A residual block by what it adds: `residual (2 × conv 64 3×3 pad 1)`."""
    if not body:
        return kind
    same = len(body) > 1 and len(set(body)) == 1
    return f"{kind} ({f'{len(body)} × {body[0]}' if same else ', '.join(body)})"


def _legend() -> str:
    parts, x = [], MARGIN
    for name, colour in LEGEND.items():
        parts.append(_rectangle(x, 36, STRIP, 12, colour) if name != "shortcut" else "")
        parts.append(f'<path d="M{x - 4} 47v-5q0 -6 7 -6t7 6v5" {STROKE}/>' if name == "shortcut" else "")
        parts.append(f'<text x="{x + STRIP + 6}" y="46" fill="#555">{name}</text>')
        x += int(len(name) * LETTER) + STRIP + 26
    return "".join(parts)


def _block(block: Block, x: int, input_height: int, arrow: bool) -> str:
    tall = _height(block.shape, input_height)
    middle, top = TOP + TALLEST / 2, TOP + (TALLEST - tall) / 2
    parts = [f'<path d="M{x - GAP + 3} {middle}h{GAP - 6}" stroke="#999"/>'] if arrow else []
    parts.append(f"<g><title>{escape(block.tip)}</title>" + _rectangle(x, top, WIDTH, tall, block.kind))
    for index, strip in enumerate(block.strips):
        parts.append(_rectangle(x + WIDTH + index * STRIP, top, STRIP, tall, strip))
    parts.append("</g>")
    if block.kind.startswith("residual"):
        parts.append(_arc(x, top, block.projected))
    if block.times > 1:
        place = f'x="{x + WIDTH / 2}" y="{middle + 4}" text-anchor="middle"'
        parts.append(f'<text {place} font-weight="600" fill="#fff">×{block.times}</text>')
    place = f"translate({x + 6} {TOP + TALLEST + 14}) rotate({SLANT})"
    parts.append(f'<text transform="{place}" fill="#333">{escape(block.label)}</text>')
    return "".join(parts)


def _height(shape: tuple[int, ...], input_height: int) -> float:
    if len(shape) != 3:
        return TALLEST * 0.3
    return min(TALLEST, TALLEST * max(0.15, log2(1 + shape[0]) / log2(1 + input_height)))


def _rectangle(x: int, top: float, width: int, tall: float, kind: str) -> str:
    colour = COLOURS.get(re.split(r"\W", kind, maxsplit=1)[0], "#eeeeee")
    return f'<rect x="{x}" y="{top:.1f}" width="{width}" height="{tall:.1f}" rx="2" fill="{colour}"/>'


def _arc(x: int, top: float, projected: bool) -> str:
    """The shortcut over a residual block; dashed where it is a projection and not the identity."""
    dash = ' stroke-dasharray="3 2"' if projected else ""
    left, right, peak = x - GAP / 2, x + WIDTH + 2, top - 20
    curve = f"Q{left} {peak:.1f} {(left + right) / 2} {peak:.1f}T{right} {top:.1f}"
    return f'<path d="M{left} {top + 14:.1f}V{top:.1f}{curve}" {STROKE}{dash}/>'
