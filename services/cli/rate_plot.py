"""The loss over the learning rate as a page with one drawing; no script, no network."""

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10

from core.schemas.results import FindRateResult

COLOURS = {"keras": "#c1272d", "tensorflow": "#e07b00", "pytorch": "#7a3db8", "fastai": "#0b7a75"}
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 440, 64, 150, 24, 52
STYLE = """:root{color-scheme:light dark;--ink:#1c2430;--soft:#667;--line:#d8dce2;--paper:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--soft:#9aa3b0;--line:#39404b;--paper:#14181d}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:900px;
margin:2rem auto;padding:0 1rem}
svg{width:100%;height:auto}text{fill:var(--ink);font:12px system-ui,sans-serif}.soft{fill:var(--soft)}
.grid{stroke:var(--line)}
table{border-collapse:collapse}td,th{padding:.25rem .9rem .25rem 0;text-align:left}td+td,th+th{text-align:right}"""


def page(found: Sequence[FindRateResult]) -> str:
    """A complete page for searches of one arm, by framework."""
    first, sizes = found[0].spec, dict.fromkeys(str(one.spec.recipe.batch) for one in found)
    title = f"Learning rates for {first.architecture}"
    about = (
        f"{first.recipe.mode}, {first.recipe.optimizer.name}, batches of {' or '.join(sizes)}, seed {first.seed}; "
        "loss of each step, exponentially averaged. Full dot: valley, the suggestion; open dot: the steepest fall."
    )
    rows = "".join(
        f"<tr><td>{escape(one.spec.framework)}</td><td>{one.valley:.2e}</td><td>{one.steep:.2e}</td>"
        f"<td>{min(one.smoothed):.4g}</td><td>{len(one.rates)}</td></tr>"
        for one in found
    )
    head = "<tr><th>framework</th><th>valley</th><th>steep</th><th>lowest loss</th><th>steps</th></tr>"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
        f"<h1>{escape(title)}</h1><p>{escape(about)}</p>{drawing(found)}<table>{head}{rows}</table></html>\n"
    )


def drawing(found: Sequence[FindRateResult]) -> str:
    """The smoothed losses as an SVG, the rate on a log scale."""
    low = floor(log10(min(one.rates[0] for one in found)))
    high = max(ceil(log10(max(one.rates[-1] for one in found))), low + 1)
    # Where a loss explodes the curve leaves the drawing; what matters lies below the first losses.
    top = 1.3 * max(max(one.smoothed[: max(len(one.smoothed) // 2, 1)]) for one in found)
    bottom = min(0.0, min(min(one.smoothed) for one in found))

    def x(rate: float) -> float:
        return LEFT + (log10(rate) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(loss: float) -> float:
        return TOP + (top - min(loss, top)) / (top - bottom) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Loss over learning rate">']
    parts += [_tick_x(x(10.0**power), power) for power in range(low, high + 1)]
    losses = [bottom + share * (top - bottom) / 4 for share in range(5)]
    parts += [_tick_y(y(loss), loss) for loss in losses]
    parts.append(f'<text class="soft" x="{(WIDTH - RIGHT + LEFT) / 2}" y="{HEIGHT - 8}">learning rate</text>')
    parts.append(f'<text class="soft" x="8" y="{TOP - 8}">loss</text>')
    for place, one in enumerate(found):
        colour = COLOURS[one.spec.framework]
        points = " ".join(f"{x(r):.1f},{y(v):.1f}" for r, v in zip(one.rates, one.smoothed, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for rate, fill in ((one.valley, colour), (one.steep, "var(--paper)")):
            loss = one.smoothed[one.rates.index(rate)]
            style = f'fill="{fill}" stroke="{colour}" stroke-width="2"'
            parts.append(f'<circle cx="{x(rate):.1f}" cy="{y(loss):.1f}" r="5" {style}/>')
        legend = TOP + 20 * (place + 1)
        parts.append(f'<rect x="{WIDTH - RIGHT + 20}" y="{legend - 9}" width="14" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 40}" y="{legend - 3}">{escape(one.spec.framework)}</text>')
    return "".join([*parts, "</svg>"])


def _tick_x(place: float, power: int) -> str:
    return (
        f'<line class="grid" x1="{place:.1f}" x2="{place:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text class="soft" x="{place:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">1e{power}</text>'
    )


def _tick_y(place: float, loss: float) -> str:
    return (
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{place:.1f}" y2="{place:.1f}"/>'
        f'<text class="soft" x="{LEFT - 8}" y="{place + 4:.1f}" text-anchor="end">{loss:.2g}</text>'
    )
