from pathlib import Path

import pytest
import typer

from core.errors import InvalidInputError
from services.cli.architectures import parse_shape
from services.cli.context import ends_well
from services.cli.formats import ListFormat, cell, show
from services.cli.progress import numbers


def test_brackets_are_text_and_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    show([{"fix": "pip install 'bakeoff[keras]'", "other": "[/v2]"}], ListFormat.TABLE, title="MNIST [/v2]")
    printed = capsys.readouterr().out
    assert "'bakeoff[keras]'" in printed
    assert printed.count("[/v2]") == 2


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.123456, "0.1235"), (951489, "951,489"), (True, "True"), ("x", "x")]
)
def test_a_value_is_shown_for_people(value: object, text: str) -> None:
    assert cell(value) == text


def test_a_full_disk_is_one_line_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        ends_well(Path("/dev/full").write_text)("x")
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err.startswith("bakeoff: no room left in ")


def test_an_empty_list_is_an_empty_table_and_an_empty_json_list(capsys: pytest.CaptureFixture[str]) -> None:
    show([], ListFormat.JSON)
    assert capsys.readouterr().out == "[]\n"
    show([], ListFormat.TABLE)


def test_figures_come_in_the_same_order_whatever_the_event() -> None:
    assert numbers({"validation_accuracy": 0.99, "loss": 0.1, "epoch": 3}) == "loss 0.1 · validation accuracy 0.99"


def test_an_input_shape_is_height_width_channels() -> None:
    assert parse_shape("28x28x1") == (28, 28, 1)
    assert parse_shape("") == ()
    for bad in ("28", "28x28", "0x1x1", "axbxc", "1x1x1x1"):
        with pytest.raises(InvalidInputError, match="expected HEIGHTxWIDTHxCHANNELS"):
            parse_shape(bad)
