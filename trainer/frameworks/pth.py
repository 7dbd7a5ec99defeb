"""`python -m trainer.frameworks.pth FILE.pth FILE.safetensors`: torch's weight files for those who have no torch."""

import argparse
import pickle
import sys
from pathlib import Path

import torch
from safetensors.numpy import save

from core import files


def main() -> None:
    """Converts one file; ends with 1 and one line on standard error where it cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m trainer.frameworks.pth", description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    try:
        content = torch.load(arguments.source, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        sys.exit(f"{arguments.source} is not a whole file of weights: {reason}")
    if not isinstance(content, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in content.values()):
        sys.exit(f"{arguments.source} holds no state dict of tensors; save it with torch.save(model.state_dict(), …)")
    tensors = {str(name): tensor.detach().contiguous().numpy() for name, tensor in content.items()}
    files.write_bytes(arguments.target, save(tensors))


if __name__ == "__main__":
    main()
