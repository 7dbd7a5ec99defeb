"""The words that start an experiment again, as the index shows them."""

import shlex
from pathlib import Path

from core.schemas.experiment import FULL
from services.cli.experiment import again


def test_what_was_asked_for_is_asked_for_again() -> None:
    words = again(Path("x.yaml"), "my images", "small", ["seeds=[0, 1]", "name=y"], True, 2)
    assert shlex.join(words) == (
        "bakeoff run x.yaml --data 'my images' --scale small --set 'seeds=[0, 1]' --set name=y --skip-corrupt "
        "--parallel 2"
    )


def test_defaults_are_left_out() -> None:
    assert again(Path("x.yaml"), None, FULL, [], False, 1) == ["bakeoff", "run", "x.yaml"]
