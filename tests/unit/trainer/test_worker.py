"""What a worker leaves of what it needed on the way."""

import argparse
from contextlib import nullcontext
from pathlib import Path

import pytest

from core.errors import CancelledError, InvalidInputError, KilledError
from core.worker import RunFolder
from trainer import worker


@pytest.mark.parametrize(
    ("ends", "left"),
    [
        (None, False),
        (InvalidInputError("no such network"), False),
        (RuntimeError("a bug"), False),
        (CancelledError("stopped on request"), True),
        (KilledError("a decoder was killed"), True),
    ],
)
def test_what_was_needed_on_the_way_is_kept_for_a_run_that_goes_on_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: Exception | None, left: bool
) -> None:
    def execute(run: RunFolder, _arguments: argparse.Namespace) -> None:
        (run.path / "work" / "rows").mkdir(parents=True)
        if ends:
            raise ends

    monkeypatch.setattr(worker, "execute", execute)
    with pytest.raises(type(ends)) if ends else nullcontext():
        worker.work(RunFolder(tmp_path), argparse.Namespace())
    assert (tmp_path / "work").exists() is left
