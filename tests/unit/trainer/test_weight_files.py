"""Files of pretrained weights: where they are, whether they are whole, and what is said when they are not."""

import hashlib
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from core.errors import InvalidInputError, NotFoundError
from core.imagenet import cache_folder
from core.schemas.recipe import Pretrained
from tests.unit.trainer.test_pretrained import RESNET, Tensors, tensors
from trainer import weight_files
from trainer.weight_files import check, load, locate


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


def test_bfloat16_says_how_to_save_it(tmp_path: Path) -> None:
    path = tmp_path / "bfloat16.safetensors"
    save_file({**numbered(), "fc.bias": np.zeros(1000, ml_dtypes.bfloat16)}, path)
    with pytest.raises(InvalidInputError, match=r"'fc.bias' is BF16, .*; save it as float32, which is exact"):
        check(keep(path), RESNET)


def test_imagenet_weights_that_are_not_in_the_cache_are_unavailable_and_say_where_to_put_them(cache: Path) -> None:
    with pytest.raises(NotFoundError, match=r"weights unavailable: resnet18-f37072fd.pth is not in") as raised:
        check(Pretrained(weights="imagenet"), RESNET)
    assert str(cache) in str(raised.value)
    assert "or give pretrained: PATH" in str(raised.value)


@pytest.fixture
def converted(cache: Path, whole: Path) -> Path:
    """A converted file in the cache."""
    path = cache / "resnet18-f37072fd.safetensors"
    path.write_bytes(whole.read_bytes())
    return path


def test_a_converted_file_in_the_cache_is_taken_where_its_hash_is_given_and_only_if_it_has_it(
    cache: Path, converted: Path, whole: Path
) -> None:
    (cache / "resnet18-f37072fd.pth").write_bytes(b"never read")
    given = Pretrained(weights="imagenet", head="keep", sha256=hashlib.sha256(whole.read_bytes()).hexdigest())
    assert locate(given, RESNET) == converted
    check(given, RESNET)
    save_file(tensors(RESNET), converted)
    with pytest.raises(InvalidInputError, match=f"{converted} has sha256 .*, expected {given.sha256}"):
        load(given, RESNET)


def test_a_converted_file_whose_hash_nobody_gave_is_refused_with_its_hash(converted: Path, whole: Path) -> None:
    digest = hashlib.sha256(whole.read_bytes()).hexdigest()
    told = f"{converted} is a converted file, .*sha256: {digest}}}, or put resnet18-f37072fd.pth beside it"
    for read in (check, load):
        with pytest.raises(InvalidInputError, match=told):
            read(Pretrained(weights="imagenet"), RESNET)


@pytest.mark.parametrize("sha256", [None, f"f37072fd{'0' * 56}"])
def test_the_original_is_taken_unless_the_hash_is_anothers(cache: Path, converted: Path, sha256: str | None) -> None:
    original = cache / "resnet18-f37072fd.pth"
    original.write_bytes(b"damaged")
    given = Pretrained(weights="imagenet", sha256=sha256)
    assert locate(given, RESNET) == original
    with pytest.raises(InvalidInputError, match="it is damaged or another file"):
        check(given, RESNET)


def test_a_converted_file_that_is_not_in_the_cache_is_unavailable_whatever_else_is(cache: Path) -> None:
    (cache / "resnet18-f37072fd.pth").write_bytes(b"never read")
    told = f"weights unavailable: resnet18-f37072fd.safetensors with sha256 {'a' * 64} is not in {cache}"
    with pytest.raises(NotFoundError, match=told):
        check(Pretrained(weights="imagenet", sha256="a" * 64), RESNET)


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
