"""Framework and device of a training: what is asked for, and what there is."""

from typing import Literal

import pytest

from core.errors import MissingExtraError, WrongStateError
from trainer.framework import LIBRARIES, MODULES, check_installed, choose_device


class Fake:
    name = "pytorch"

    def __init__(self, cuda: bool) -> None:
        self.cuda = cuda

    def has_cuda(self) -> bool:
        return self.cuda


@pytest.mark.parametrize(
    ("wanted", "cuda", "found"),
    [
        ("auto", True, "cuda"),
        ("auto", False, "cpu"),
        ("cpu", True, "cpu"),
        ("cpu", False, "cpu"),
        ("cuda", True, "cuda"),
    ],
)
def test_a_gpu_is_used_where_there_is_one_unless_the_cpu_is_asked_for(
    wanted: Literal["auto", "cpu", "cuda"], cuda: bool, found: str
) -> None:
    assert choose_device(Fake(cuda), wanted) == found  # type: ignore[arg-type]


def test_a_gpu_that_is_not_there_is_refused_with_what_to_set() -> None:
    with pytest.raises(
        WrongStateError, match=r"pytorch finds no CUDA GPU here .*BAKEOFF_TRAINER_DEVICE to auto or cpu"
    ):
        choose_device(Fake(cuda=False), "cuda")  # type: ignore[arg-type]


def test_a_framework_that_is_not_installed_is_refused_without_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LIBRARIES.keys() == MODULES.keys()
    monkeypatch.setattr("trainer.framework.find_spec", lambda name: name)
    check_installed("pytorch")
    monkeypatch.setattr("trainer.framework.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pytorch \(torch\) is not installed here; .*bakeoff\[pytorch\]"):
        check_installed("pytorch")
