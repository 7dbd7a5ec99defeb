"""`bakeoff up`, `down` and `status`."""

from typing import Annotated

import typer

from core.errors import InvalidInputError
from services.cli.context import Home, ends_well, err, out
from services.cli.formats import FormatOption, ListFormat, show
from services.cli.stack import Stack
from services.client.control import is_serving
from services.client.directory import ON_DEMAND, SERVICES


def say(text: str) -> None:
    """A line about what is being done, apart from the command's output."""
    err.print(text, style="dim", markup=False, highlight=False)


@ends_well
def up(
    names: Annotated[
        list[str] | None, typer.Argument(help="Services to start; default: all but the OpenVINO servers.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: BAKEOFF_HOST or 127.0.0.1.")] = None,
    base_port: Annotated[
        int | None, typer.Option(help="First port; 0 takes free ones; default: 7101.", min=0, max=64000)
    ] = None,
    style: FormatOption = ListFormat.TABLE,
) -> None:
    """Start every service on this machine and print each address."""
    home = Home() if host is None else Home(host=host)
    chosen = names or [name for name in SERVICES if name not in ON_DEMAND]
    if unknown := sorted(set(chosen) - SERVICES.keys()):
        raise InvalidInputError(f"unknown services: {', '.join(unknown)}; known: {', '.join(SERVICES)}")
    stack = Stack(home, say)
    with stack.changing():
        if missing := stack.missing(chosen):
            stack.start(missing, base_port)
        stack.keep(chosen)
    show(_rows(home, chosen), style)


@ends_well
def down() -> None:
    """Stop every service that was started from this home folder."""
    stack = Stack(Home(), say)
    with stack.changing():
        stopped = stack.stop()
    out.print(f"stopped {', '.join(service.name for service in stopped)}" if stopped else "nothing was running")


@ends_well
def status(style: FormatOption = ListFormat.TABLE) -> None:
    """Say which services answer, and where."""
    home = Home()
    show(_rows(home, home.directory.expected()), style)


def _rows(home: Home, names: list[str]) -> list[dict[str, str | None]]:
    started = {service.name: service for service in home.directory.started()}
    rows: list[dict[str, str | None]] = []
    for name in names:
        target = home.directory.target(name)
        mine = started.get(name)
        rows.append(
            {
                "service": name,
                "state": "serving" if is_serving(target) else "absent",
                "grpc": target,
                "metrics": mine.metrics if mine else None,
                "log": mine.log if mine else None,
            }
        )
    return rows
