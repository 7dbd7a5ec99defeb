"""What people name .pth, in a process of its own: `python -m tests.contract.torch_files FOLDER`."""

import sys
from pathlib import Path

import torch

from tests.unit.trainer.test_pretrained import RESNET, tensors


def main(folder: Path) -> None:
    """Writes state dicts of ResNet-18, whole and not, and files of other sorts."""
    state = {name: torch.from_numpy(tensor) for name, tensor in tensors(RESNET).items()}
    torch.save(state, folder / "whole.pth")
    (folder / "cut.pth").write_bytes((folder / "whole.pth").read_bytes()[:-1000])
    torch.save(state, folder / "before.pth", _use_new_zipfile_serialization=False)
    (folder / "before-cut.pth").write_bytes((folder / "before.pth").read_bytes()[:30])
    bias = state["fc.bias"]
    torch.save({**state, "fc.bias": bias.bfloat16()}, folder / "bfloat16.pth")
    torch.save({**state, "bn1.bias": state["bn1.weight"]}, folder / "shared.pth")
    layer = torch.nn.Linear(2, 2)
    torch.save(layer, folder / "model.pth")
    torch.save({"model": state, "epoch": 3}, folder / "nested.pth")
    torch.jit.save(torch.jit.script(layer), folder / "script.pt")
    (folder / "page.pth").write_text("<!DOCTYPE html>\n<html>Sign in</html>")
    (folder / "pointer.pth").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    (folder / "empty.pth").touch()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
