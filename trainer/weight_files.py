"""Files of pretrained weights: finding, checking and reading them. No framework is imported here.

A `.safetensors` file is read as it is. A `.pth` file needs torch, which is loaded in a process of its own: a trainer
holds one framework family, and not every trainer has torch installed.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from core import files
from core.errors import InvalidInputError, NotFoundError
from core.schemas.recipe import IMAGENET, Pretrained
from trainer.layers import Architecture, Shape
from trainer.pretrained import IMAGENET_FILES, check_tensors, to_canonical, torchvision_names
from trainer.weights import Weights

SUFFIXES = (".safetensors", ".pth", ".pt")
CONVERTER = "trainer.frameworks.pth"
CONVERT_SECONDS = 300
FLOATS = ("F16", "F32", "F64")


def check(spec: Pretrained, architecture: Architecture) -> None:
    """Whether a training can start from a file: it is there, whole, unchanged, and of this network.

    Raises:
        NotFoundError: it is not there; says where it is looked for.
        InvalidInputError: it is damaged, another file, or another network's.
    """
    with _opened(spec, architecture) as (path, readable):
        _check(readable, path, spec, architecture)


def load(spec: Pretrained, architecture: Architecture) -> Weights:
    """Canonical weights of a file, the last layer only with head: keep, in the file's dtype. Raises as `check`."""
    with _opened(spec, architecture) as (path, readable):
        _check(readable, path, spec, architecture)
        with _reading(path), safe_open(readable, "np") as file:
            names = file.keys()  # a method: the file itself cannot be iterated
            tensors: dict[str, NDArray[np.floating]] = {name: file.get_tensor(name) for name in names}
    return to_canonical(tensors, architecture, spec.head == "keep")


def locate(spec: Pretrained, architecture: Architecture) -> Path:
    """The file of a spec. Raises NotFoundError where it is not there."""
    torchvision_names(architecture)  # refuses a network without such weights
    if spec.weights == IMAGENET:
        return _cached(IMAGENET_FILES[architecture.name])
    path = Path(spec.weights)
    if path.suffix not in SUFFIXES:
        raise InvalidInputError(f"pretrained.weights {spec.weights!r}: expected {IMAGENET} or {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise NotFoundError(f"weights unavailable: no file {path.absolute()}; put it there or give another path")
    return path


def cache_folder() -> Path:
    """Where torchvision keeps the weights it downloaded (`torch.hub`)."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("TORCH_HOME") or cache / "torch") / "hub" / "checkpoints"


def _cached(name: str) -> Path:
    folder = cache_folder()
    # Converted for trainers without torch, it lies beside the original.
    for path in ((folder / name).with_suffix(".safetensors"), folder / name):
        if path.is_file():
            return path
    raise NotFoundError(
        f"weights unavailable: {name} is not in {folder}, and Bakeoff downloads nothing; put the file there "
        "(torchvision does when it builds the network with weights='DEFAULT') or give pretrained: PATH"
    )


@contextmanager
def _opened(spec: Pretrained, architecture: Architecture) -> Iterator[tuple[Path, Path]]:
    """The file of a spec, verified, and a .safetensors file with its content."""
    path = locate(spec, architecture)
    _verify(path, spec)
    if path.suffix == ".safetensors":
        yield path, path
        return
    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder) / "converted.safetensors"
        _convert(path, converted)
        yield path, converted


def _verify(path: Path, spec: Pretrained) -> None:
    official = spec.weights == IMAGENET and path.suffix == ".pth"
    if spec.sha256 is None and not official:
        return
    digest, expected = files.sha256_file(path), spec.sha256 or path.stem.rsplit("-", 1)[1]
    if not digest.startswith(expected):
        raise InvalidInputError(f"{path} has sha256 {digest}, expected {expected}; it is damaged or another file")


def _convert(path: Path, target: Path) -> None:
    if find_spec("torch") is None:
        raise InvalidInputError(
            f"{path} can only be read where torch is installed, and it is not here. Where it is, run "
            f"`python -m {CONVERTER} {path.name} {path.stem}.safetensors` and give the new file"
        )
    command = [sys.executable, "-m", CONVERTER, str(path.absolute()), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CONVERT_SECONDS, check=False)
    if done.returncode:
        raise InvalidInputError((done.stderr.strip().splitlines() or [f"{path} could not be read"])[-1])


def _check(readable: Path, path: Path, spec: Pretrained, architecture: Architecture) -> None:
    shapes: dict[str, Shape] = {}
    known = set(torchvision_names(architecture).values())
    with _reading(path), safe_open(readable, "np") as file:
        names = file.keys()
        for name in names:
            tensor = file.get_slice(name)
            shapes[name], kind = tuple(tensor.get_shape()), tensor.get_dtype()
            if name in known and kind not in FLOATS:
                raise InvalidInputError(f"{path}: {name!r} is {kind}, expected one of {', '.join(FLOATS)}")
    check_tensors(shapes, architecture, spec.head == "keep", str(path))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, OSError) as error:
        raise InvalidInputError(f"{path} is not a whole safetensors file: {error}") from error
