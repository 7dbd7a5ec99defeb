"""`python -m trainer.frameworks.pth FILE.pth FILE.safetensors`: torch's weight files for those who have no torch."""

import argparse
import pickle
import struct
import sys
from pathlib import Path

import torch
from safetensors.torch import save

from core import files

STARTS = (b"PK", b"\x80")
"""Of what torch writes: a zip archive, and before torch 1.6 pickles."""
PLAIN = "save it with torch.save(model.state_dict(), …)"


def main() -> None:
    """Converts one file, every tensor in its own dtype; ends with 1 and one line on standard error where it cannot."""
    parser = argparse.ArgumentParser(prog="python -m trainer.frameworks.pth", description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    try:
        content = torch.load(arguments.source, map_location="cpu", weights_only=True)
    except OSError as error:
        sys.exit(f"{arguments.source} cannot be read: {error.strerror or error}")
    except (RuntimeError, EOFError, LookupError, ValueError, struct.error, pickle.UnpicklingError) as error:
        sys.exit(f"{arguments.source} {_reason(arguments.source, error)}")
    if not isinstance(content, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in content.values()):
        sys.exit(f"{arguments.source} holds no state dict of tensors; {PLAIN}")
    # Copies: safetensors refuses tensors that share memory.
    tensors = {
        str(name): tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in content.items()
    }
    files.write_bytes(arguments.target, save(tensors))


def _reason(path: Path, error: Exception) -> str:
    """Why a file cannot be loaded. torch's own words advise to run the code in it, which nobody here should."""
    with path.open("rb") as file:
        start = file.read(20)
    if not start.startswith(STARTS):
        found = f"it begins with {start.decode('latin-1')!r}" if start else "it is empty"
        return f"is no torch file: {found}; fetch the file itself"
    if isinstance(error, pickle.UnpicklingError) or "TorchScript" in str(error):
        return f"holds a pickled object, not plain tensors; {PLAIN}"
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"is not a whole file of weights: {reason}"


if __name__ == "__main__":
    main()
