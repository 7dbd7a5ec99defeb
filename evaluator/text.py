"""Figures and names as people read them; the same everywhere in a report."""

import math

from core.labels import format_name as format_name
from core.labels import framework as framework
from core.labels import runtime as runtime
from evaluator.paired import ALPHA

MISSING = "–"
BYTES = 1024


def percent(share: float, digits: int = 2) -> str:
    """0.98333 → `98.33%`."""
    return f"{100 * share:.{digits}f}%"


def figure(value: float | None, digits: int = 4) -> str:
    """0.98333 → `0.9833`; a dash where nothing was measured."""
    return MISSING if value is None else f"{value:.{digits}f}"


def share(value: float | None) -> str:
    """As `percent`; a dash where there is nothing it could be a share of."""
    return MISSING if value is None else percent(value)


def points(difference: float) -> str:
    """A difference of two shares in percentage points: 0.021 → `2.10 points`."""
    return f"{100 * difference:.2f} points"


def signed_points(difference: float) -> str:
    """As `points` with a sign: -0.021 → `−2.10 points`, 0 → `±0.00 points`."""
    sign = "±" if abs(difference) < 0.00005 else "+" if difference > 0 else "−"
    return sign + points(abs(difference))


def bare_points(difference: float) -> str:
    """A difference of two shares in percentage points with its sign, the unit being said elsewhere: 0.021 → `+2.10`."""
    return f"{100 * difference:+.2f}"


def bare_range(bounds: tuple[float, float] | None) -> str:
    """Both ends as `bare_points`: (-0.021, 0.03) → `-2.10 to +3.00`; a dash where there is no interval."""
    return MISSING if bounds is None else " to ".join(map(bare_points, bounds))


def interval(bounds: tuple[float, float]) -> str:
    """(0.964, 0.992) → `96.40–99.20%`."""
    return f"{100 * bounds[0]:.2f}–{100 * bounds[1]:.2f}%"


def significant(value: float, digits: int = 3) -> str:
    """At least `digits` significant digits, no exponent, thousands separated: 3.14159 → `3.14`, 12345.6 → `12,346`."""
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    return f"{value:,.{max(0, digits - 1 - magnitude)}f}"


def milliseconds(value: float) -> str:
    """Three significant digits with unit: `3.14 ms`."""
    return f"{significant(value)} ms"


def seconds(value: float) -> str:
    """`0.42 s`, `12.3 s`, `4 min 05 s`, `1 h 02 min`."""
    if value < 60:
        return f"{significant(value)} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: int) -> str:
    """Bytes in binary units: 151552 → `148 KiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < BYTES:
            return f"{significant(value) if unit != 'B' else count} {unit}"
        value /= BYTES
    return f"{significant(value)} GiB"


def scientific(value: float) -> str:
    """Small differences: `1.2e-07`; an exact zero is `0`."""
    return "0" if value == 0 else f"{value:.1e}"


def p_value(value: float) -> str:
    """`p < 0.001`, `p = 0.034`, `p = 1`."""
    if value < 0.001:
        return "p < 0.001"
    # As many digits as keep it on its side of the limit by which things are called different.
    digits = next(digits for digits in range(2, 17) if (float(f"{value:.{digits}g}") < ALPHA) == (value < ALPHA))
    return f"p = {value:.{digits}g}"


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 image`, `1,797 images`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def names(items: tuple[str, ...] | list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else ""


def short_hash(digest: str) -> str:
    """The first twelve digits."""
    return digest[:12]
