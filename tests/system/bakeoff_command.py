"""The `bakeoff` command as a person starts it, in a home folder of its own."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 280.0
QUICK = (
    "seeds=[0]",
    "arms.matched.recipe.epochs=4",
    "loadtest.warmup_s=0.3",
    "loadtest.duration_s=1",
    "loadtest.repeats=1",
)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Bakeoff:
    """Commands in one home folder, on one loopback address."""

    home: Path
    host: str = "127.0.0.1"
    tracking: str = "off"

    @property
    def environment(self) -> dict[str, str]:
        # Timed work of other tests on this host is not this home's business.
        own = {"BAKEOFF_HOME": str(self.home), "BAKEOFF_HOST": self.host, "TMPDIR": str(self.home.parent)}
        # One thread: OpenMP's spinning threads stall each other where other tests share the cores.
        own |= {"BAKEOFF_TRACKING": self.tracking, "MLFLOW_TRACKING_URI": ""}
        return {**os.environ, **own, "BAKEOFF_TRAINER_THREADS": "1"}

    def command(self, *arguments: str) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", "services.cli.main", *arguments]

    def run(self, *arguments: str) -> Ended:
        """Runs a command to its end."""
        done = subprocess.run(
            self.command(*arguments), env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Starts a command in a process group of its own."""
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=_hear_ctrl_c,
        )

    def json(self, *arguments: str) -> Any:
        """Output of a command with --format json."""
        ended = self.run(*arguments, "--format", "json")
        assert ended.code == 0, ended.err
        return json.loads(ended.out)

    def processes(self) -> list[str]:
        """Command lines of living processes that belong to this home."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdecimal() and str(self.home) in (entry / "cmdline").read_bytes().decode():
                    found.append((entry / "cmdline").read_bytes().decode().replace("\0", " "))
            except (OSError, UnicodeDecodeError):
                continue
        return found


def _hear_ctrl_c() -> None:
    """A shell's background jobs, which tests may run in, pass an ignored SIGINT on to everything they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def overrides(*values: str) -> list[str]:
    """`--set` for each value."""
    return [part for value in values for part in ("--set", value)]
