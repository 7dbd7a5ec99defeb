"""What the pictures of the studies have in common: measures, colours, the frame and an axis. Plain SVG."""

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

COLOURS = {"keras": "#c2265a", "tensorflow": "#d97f00", "pytorch": "#2f66e0", "fastai": "#0c8f7f"}
TEXT, MUTED, LINE = "#12151b", "#596170", "#e4e7ec"
WIDTH, LEFT, RIGHT, ROW, TOP, BOTTOM = 860, 270, 30, 30, 46, 46
BAR = 16
"""Height of a bar; what is left of a row is air."""


@dataclass(frozen=True)
class Axis:
    """Maps values to horizontal positions."""

    low: float
    high: float
    room: float = 0.0
    """Beside the rows' ends, for figures."""

    def x(self, value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT - self.room) * (value - self.low) / (self.high - self.low)


def height_of(rows: int) -> int:
    """Of a picture with so many rows."""
    return TOP + ROW * max(1, rows) + BOTTOM


def middle(row: int) -> float:
    """The height of a row's middle; the first is 0."""
    return TOP + ROW * row + ROW / 2


def label(words: str, row: int) -> str:
    """What a row is about, to the left of it."""
    return f'<text x="{LEFT - 14}" y="{middle(row) + 4:g}" text-anchor="end" fill="{TEXT}">{escape(words)}</text>'


def diamond(x: float, y: float, tip: str) -> str:
    """What a study published."""
    points = f"{x:.1f},{y - 6:g} {x + 6:.1f},{y:g} {x:.1f},{y + 6:g} {x - 6:.1f},{y:g}"
    return (
        f'<polygon points="{points}" fill="#ffffff" stroke="{TEXT}" stroke-width="1.6">'
        f"<title>{escape(tip)}</title></polygon>"
    )


def picture(title: str, rows: int, parts: Iterable[str]) -> str:
    """The whole text; equal inputs give equal bytes."""
    height, title = height_of(rows), escape(title)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{title}" font-family="system-ui, sans-serif" font-size="13">\n'
        f'<rect width="{WIDTH}" height="{height}" rx="10" fill="#ffffff"/>\n'
        f'<text x="16" y="26" font-size="15" font-weight="600" fill="{TEXT}">{title}</text>'
    )
    return "\n".join([head, *parts, "</svg>"]) + "\n"
