"""Files of pretrained weights: where they are, whether they are whole, and what is said when they are not."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from core.errors import InvalidInputError, NotFoundError
from core.schemas.recipe import Pretrained
from tests.unit.trainer.test_pretrained import RESNET, Tensors, tensors
from trainer import weight_files
from trainer.weight_files import cache_folder, check, load, locate


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    save_file(numbered(), path)
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty torchvision cache."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch/hub/checkpoints"
    folder.mkdir(parents=True)
    return folder


def numbered() -> Tensors:
    return {name: np.full_like(tensor, index) for index, (name, tensor) in enumerate(tensors(RESNET).items())}


def keep(path: Path, **changes: str) -> Pretrained:
    return Pretrained(weights=str(path), head="keep", **changes)  # type: ignore[arg-type]


def test_a_whole_file_gives_canonical_weights_with_or_without_the_last_layer(whole: Path) -> None:
    weights = load(keep(whole), RESNET)
    assert weights.keys() == RESNET.parameters.keys()
    assert float(weights["conv1/kernel"].ravel()[0]) == 0.0
    assert float(weights["batchnorm1/gamma"][0]) == 1.0
    assert "dense1/kernel" not in load(Pretrained(weights=str(whole)), RESNET)


def test_a_file_that_is_not_there_is_named_with_its_absolute_path(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=f"weights unavailable: no file {tmp_path}/absent.pth"):
        check(keep(tmp_path / "absent.pth"), RESNET)


def test_an_ending_that_is_no_weight_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"expected imagenet or \.safetensors, \.pth, \.pt"):
        check(keep(tmp_path / "weights.h5"), RESNET)


@pytest.mark.parametrize("size", [0, 4, 1000, -1])
def test_a_truncated_file_is_refused_before_any_tensor_is_read(whole: Path, tmp_path: Path, size: int) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(whole.read_bytes()[:size])
    with pytest.raises(InvalidInputError, match=f"{cut} is not a whole safetensors file"):
        check(keep(cut), RESNET)


def test_a_changed_file_is_not_the_one_that_was_named(whole: Path) -> None:
    right = hashlib.sha256(whole.read_bytes()).hexdigest()
    check(keep(whole, sha256=right), RESNET)
    with pytest.raises(InvalidInputError, match=f"has sha256 {right}, expected 0000"):
        check(keep(whole, sha256="0" * 64), RESNET)


def test_integers_in_place_of_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "integers.safetensors"
    save_file({**numbered(), "bn1.weight": np.ones(64, np.int64)}, path)
    with pytest.raises(InvalidInputError, match=r"'bn1.weight' is I64, expected one of F16, F32, F64"):
        check(keep(path), RESNET)


def test_imagenet_weights_that_are_not_in_the_cache_are_unavailable_and_say_where_to_put_them(cache: Path) -> None:
    with pytest.raises(NotFoundError, match=r"weights unavailable: resnet18-f37072fd.pth is not in") as raised:
        check(Pretrained(weights="imagenet"), RESNET)
    assert str(cache) in str(raised.value)
    assert "or give pretrained: PATH" in str(raised.value)


def test_a_converted_file_in_the_cache_is_preferred(cache: Path, whole: Path) -> None:
    (cache / "resnet18-f37072fd.pth").write_bytes(b"never read")
    converted = cache / "resnet18-f37072fd.safetensors"
    converted.write_bytes(whole.read_bytes())
    assert locate(Pretrained(weights="imagenet"), RESNET) == converted
    check(Pretrained(weights="imagenet", head="keep"), RESNET)


def test_a_damaged_file_in_the_cache_is_known_by_the_hash_in_its_name(cache: Path) -> None:
    (cache / "resnet18-f37072fd.pth").write_bytes(b"damaged")
    with pytest.raises(InvalidInputError, match="expected f37072fd; it is damaged or another file"):
        check(Pretrained(weights="imagenet"), RESNET)


def test_the_cache_is_torchs_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "torch/hub/checkpoints"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache/torch/hub/checkpoints"


def test_where_torch_is_not_installed_a_pth_says_how_to_convert_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.pth").write_bytes(b"anything")
    monkeypatch.setattr(weight_files, "find_spec", lambda name: None)
    with pytest.raises(InvalidInputError, match=r"python -m trainer.frameworks.pth mine.pth mine.safetensors"):
        check(keep(tmp_path / "mine.pth"), RESNET)
