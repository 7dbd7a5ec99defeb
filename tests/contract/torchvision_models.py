"""torchvision's own networks with random weights and statistics: the files users have, and the logits they expect.

`python -m tests.contract.torchvision_models FOLDER` runs in a process of its own. For every network it writes
`<name>.safetensors`, for one `<name>.pth` too, and in `logits.npz` the logits of `networks.images` in inference
and, where nothing is dropped, in training mode.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from tests.contract import networks
from trainer.frameworks._torchvision import import_torchvision


def main(folder: Path) -> None:
    """Writes everything."""
    torch.set_num_threads(1)
    models = import_torchvision().models
    logits = {}
    for name, architecture in networks.TORCHVISION.items():
        torch.manual_seed(5)
        model = getattr(models, name)(num_classes=architecture.classes)
        shake(model)
        if name == networks.FROM_PTH:
            torch.save(model.state_dict(), folder / f"{name}.pth")
        save_file(model.state_dict(), folder / f"{name}.safetensors")
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (networks.MEAN, networks.STD))
        pixels = networks.images(architecture, networks.TORCHVISION_IMAGES, "inspect").images
        x = (torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2) / 255.0 - mean) / std
        with torch.no_grad():
            logits[f"{name}/inference"] = model.eval()(x).numpy()
            if not architecture.dropouts:
                logits[f"{name}/training"] = model.train()(x).numpy()
    np.savez(folder / "logits.npz", **logits)  # type: ignore[arg-type]


def shake(model: torch.nn.Module) -> None:
    """Random scales, offsets and statistics: an untouched norm would hide an exchange of two.

    Scales around one and no larger, or the 16 blocks that add to each other would end in logits whose softmax is all or
    nothing.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.3)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
        elif getattr(module, "bias", None) is not None:
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
            if isinstance(module, torch.nn.Conv2d):
                # No norm follows, and torchvision's own numbers would leave little of an image in the logits.
                torch.nn.init.kaiming_normal_(module.weight)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
