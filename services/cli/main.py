"""`bakeoff`: the command line."""

import signal
from types import FrameType
from typing import Annotated

import typer

from services.cli import (
    architectures,
    doctor,
    evidence,
    experiment,
    loadtest,
    lr_find,
    models,
    production,
    quantizing,
    scoring,
    services,
    tuning,
    ui,
)
from services.cli.context import EXIT_HELP

app = typer.Typer(
    name="bakeoff",
    help="Which framework, which export and which runtime should I ship for this image classifier?",
    epilog=EXIT_HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("up")(services.up)
app.command("down")(services.down)
app.command("status")(services.status)
app.command("run")(experiment.run)
app.command("report")(experiment.report)
app.command("lr-find")(lr_find.lr_find)
app.command("compare")(evidence.compare)
app.command("gate")(evidence.judge)
app.command("evaluate")(scoring.evaluate)
app.command("loadtest")(loadtest.loadtest)
app.command("ui")(ui.ui)
app.command("models")(models.models)
app.command("predict")(models.predict)
app.command("tune")(tuning.tune)
app.command("quantize")(quantizing.quantize)
app.command("promote")(production.promote)
app.command("rollback")(production.rollback)
app.command("architectures")(architectures.architectures)
app.command("doctor")(doctor.doctor)


def _version(value: bool) -> None:
    if value:
        from importlib import metadata

        print(metadata.version("bakeoff"))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Answers with evidence."""


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Entry point of the console script. Being terminated ends like Ctrl-C: nothing that was started stays behind."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays nohup.
            signal.signal(number, _interrupt)
    app(prog_name="bakeoff")


if __name__ == "__main__":
    main()
