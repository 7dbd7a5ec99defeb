"""Files of pretrained weights: finding, checking and reading them. No framework is imported here.

A `.safetensors` file is read as it is. A `.pth` file needs torch, which is loaded in a process of its own: a trainer
holds one framework family, and not every trainer has torch installed.
"""

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

from core import files, imagenet
from core.errors import InvalidInputError, NotFoundError
from core.schemas.recipe import IMAGENET, Pretrained
from trainer.layers import Architecture, Shape
from trainer.pretrained import check_tensors, to_canonical, torchvision_names
from trainer.weights import Weights

SUFFIXES = (".safetensors", ".pth", ".pt")
CONVERTER = "trainer.frameworks.pth"
CONVERT_SECONDS = 300
FLOATS = ("F16", "F32", "F64")


def check(spec: Pretrained, architecture: Architecture) -> None:
    """Whether a training can start from a file: it is there, whole, unchanged, and of this network.

    Raises:
        NotFoundError: it is not there; says where it is looked for.
        InvalidInputError: it is damaged, another file, another network's, or nothing says which file it has to be.
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
    """The file of a spec.

    Raises:
        NotFoundError: it is not there.
        InvalidInputError: there is none for this network, or nothing says which file it has to be.
    """
    torchvision_names(architecture)  # refuses a network without such weights
    if spec.weights == IMAGENET:
        return _cached(architecture.name, spec.sha256)
    path = Path(spec.weights)
    if path.suffix not in SUFFIXES:
        raise InvalidInputError(f"pretrained.weights {spec.weights!r}: expected {IMAGENET} or {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise NotFoundError(f"weights unavailable: no file {path.absolute()}; put it there or give another path")
    return path


def _cached(network: str, sha256: str | None) -> Path:
    """torchvision's own file, which its name identifies, or the converted one, which nothing but its hash does."""
    original, converted = imagenet.original(network), imagenet.converted(network)
    if sha256 is None or sha256.startswith(imagenet.named_digits(original)):
        if original.is_file():
            return original
        if sha256 is None and converted.is_file():
            raise InvalidInputError(
                f"{converted} is a converted file, and its name does not say what is in it; if it is the right one, "
                f"write pretrained: {{weights: {IMAGENET}, sha256: {files.sha256_file(converted)}}}, or put "
                f"{original.name} beside it"
            )
        raise NotFoundError(
            f"weights unavailable: {original.name} is not in {original.parent}, and Bakeoff downloads nothing; put the "
            "file there (torchvision does when it builds the network with weights='DEFAULT') or give pretrained: PATH"
        )
    if not converted.is_file():
        raise NotFoundError(
            f"weights unavailable: {converted.name} with sha256 {sha256} is not in {converted.parent}; put it there, "
            f"or leave it out of the cache of `bakeoff run` too, which then takes {original.name}"
        )
    return converted


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
    expected = spec.sha256 or (imagenet.named_digits(path) if spec.weights == IMAGENET else None)
    if expected is None:
        return
    digest = files.sha256_file(path)
    if not digest.startswith(expected):
        raise InvalidInputError(f"{path} has sha256 {digest}, expected {expected}; it is damaged or another file")


def _convert(path: Path, target: Path) -> None:
    if find_spec("torch") is None:
        raise InvalidInputError(
            f"{path} can only be read where torch is installed, and it is not here. Where it is, run "
            f"`python -m {CONVERTER} {path.name} {path.stem}.safetensors` and give the new file, with its sha256 where "
            "only the trainer services see it"
        )
    command = [sys.executable, "-m", CONVERTER, str(path.absolute()), str(target)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=CONVERT_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise InvalidInputError(
            f"{path} was not read within {CONVERT_SECONDS} s; run `python -m {CONVERTER} {path.name} "
            f"{path.stem}.safetensors` once and give the new file"
        ) from error
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
                advice = "; save it as float32, which is exact" if kind == "BF16" else ""
                raise InvalidInputError(f"{path}: {name!r} is {kind}, expected one of {', '.join(FLOATS)}{advice}")
    check_tensors(shapes, architecture, spec.head == "keep", str(path))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, OSError) as error:
        raise InvalidInputError(f"{path} is not a whole safetensors file: {error}") from error
