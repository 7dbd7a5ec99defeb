"""`--format table|json`, the same everywhere something is listed."""

import json
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from services.cli.context import out


class ListFormat(StrEnum):
    """How a list is printed."""

    TABLE = "table"
    JSON = "json"


FormatOption = Annotated[ListFormat, typer.Option("--format", help="table for people, json for programs.")]


def show(rows: Sequence[dict[str, Any]], style: ListFormat, title: str = "") -> None:
    """Prints rows with the keys of the first one as columns."""
    if style is ListFormat.JSON:
        print(json.dumps(list(rows), indent=2))
        return
    if title:
        out.print(title, style="italic", markup=False, highlight=False)
    table = Table(header_style="bold", box=None, pad_edge=False)
    for name in rows[0] if rows else ():
        number = all(row[name] is None or isinstance(row[name], int | float) for row in rows)
        table.add_column(name.replace("_", " "), justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell(value) for value in row.values()))
    out.print(table)


def cell(value: Any) -> str:
    """One value as text that Rich shows as it is; nothing measured is a dash."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else escape(str(value))
