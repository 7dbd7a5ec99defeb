"""torchvision's own weight files of ImageNet: their names, and the cache that holds them.

Here because both ask for them: the command, to know what a training starts from, and the trainer, to read it.
"""

import os
from pathlib import Path

FILES = {
    "resnet18": "resnet18-f37072fd.pth",
    "resnet34": "resnet34-b627a593.pth",
    "vgg11": "vgg11-8a719046.pth",
}
"""By network, as torchvision names them in its cache; the digits begin the file's sha256."""


def original(network: str) -> Path:
    """Where torchvision keeps its file of a network."""
    return cache_folder() / FILES[network]


def converted(network: str) -> Path:
    """Where the same file lies for trainers without torch. The digits in its name are not those of its own bytes."""
    return original(network).with_suffix(".safetensors")


def named_digits(path: Path) -> str:
    """What the sha256 of an original begins with."""
    return path.stem.rsplit("-", 1)[1]


def cache_folder() -> Path:
    """Where torchvision keeps the weights it downloaded (`torch.hub`)."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("TORCH_HOME") or cache / "torch") / "hub" / "checkpoints"
