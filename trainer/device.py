"""`python -m trainer.device FRAMEWORK`: ends with 1, and says why, where a framework cannot compute on a CUDA GPU."""

import subprocess
import sys

from core.errors import BakeoffError, WrongStateError
from trainer.framework import choose_device, get_framework


def require_cuda(framework: str) -> None:
    """Asks in a process of its own: who calls this imports no framework. Takes as long as that does.

    Raises:
        WrongStateError: there is no CUDA GPU, or the framework cannot be imported.
    """
    done = subprocess.run([sys.executable, "-m", __name__, framework], capture_output=True, text=True, check=False)
    if done.returncode:
        raise WrongStateError((done.stderr.strip().splitlines() or [f"{framework} could not be asked for a GPU"])[-1])


def main() -> None:
    """Reads the command line."""
    try:
        choose_device(get_framework(sys.argv[1]), "cuda")
    except BakeoffError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
