"""A .pth file of another sort is told as what it is, never with torch's advice to run the code in it."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from core.errors import InvalidInputError
from core.schemas.recipe import Pretrained
from tests.contract.conftest import run_python
from tests.unit.trainer.test_pretrained import RESNET
from trainer.weight_files import check

pytestmark = [
    pytest.mark.contract,
    pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed: pip install 'bakeoff[pytorch]'"),
]
PICKLED = "holds a pickled object, not plain tensors; save it with torch.save(model.state_dict(), …)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pth")
    run_python("tests.contract.torch_files", str(folder))
    return folder


@pytest.mark.parametrize("name", ["whole.pth", "before.pth", "shared.pth"])
def test_a_state_dict_is_read(folder: Path, name: str) -> None:
    check(Pretrained(weights=str(folder / name), head="keep"), RESNET)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("model.pth", PICKLED),
        ("script.pt", PICKLED),
        ("nested.pth", "holds no state dict of tensors"),
        ("page.pth", "is no torch file: it begins with '<!DOCTYPE html>"),
        ("pointer.pth", "is no torch file: it begins with 'version https://git-"),
        ("empty.pth", "is no torch file: it is empty; fetch the file itself"),
        ("cut.pth", "is not a whole file of weights"),
        ("before-cut.pth", "is not a whole file of weights"),
        ("bfloat16.pth", "'fc.bias' is BF16, expected one of F16, F32, F64; save it as float32, which is exact"),
    ],
)
def test_any_other_file_says_what_it_is(folder: Path, name: str, told: str) -> None:
    path = folder / name
    with pytest.raises(InvalidInputError, match=f"^{path}:? {re.escape(told)}") as raised:
        check(Pretrained(weights=str(path), head="keep"), RESNET)
    assert "weights_only" not in str(raised.value)
