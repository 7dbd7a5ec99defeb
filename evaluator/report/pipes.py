"""Tables and text in Markdown."""

from collections.abc import Sequence

from evaluator.report.tables import Table


def markdown_table(table: Table) -> str:
    """A pipe table, without its caption."""
    return grid(list(table.headers), [list(row) for row in table.rows], table.names)


def grid(headers: Sequence[str], rows: Sequence[Sequence[str]], names: int) -> str:
    """A pipe table whose columns after the first `names` are right-aligned."""
    rule = ["---" if number < names else "---:" for number in range(len(headers))]
    lines = [headers, rule, *([escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape(value: str) -> str:
    """Keeps text on one line, inside its cell, and free of markup."""
    plain = " ".join(value.split())
    return "".join(f"\\{c}" if c in "\\|`*_<>[]" else c for c in plain)
