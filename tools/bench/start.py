"""How soon a server with ten tuned models is ready, and what memory it takes."""

import time
from pathlib import Path

from tools.bench.servers import bakeoff


def start(root: Path, models: Path, transport: str, cache: Path) -> dict[str, object]:
    """Seconds from the process's start until health says SERVING, and proportional set size by program."""
    started = time.monotonic()
    with bakeoff(root, models, "--transport", transport, "--cache", str(cache)) as server:
        return {"transport": transport, "ready_s": time.monotonic() - started, "memory_mb": server.memory_mb()}
