"""Soak test: load for a long time, new versions meanwhile; memory must not grow, no request may fail.

    python tools/bench_soak.py --repository DIR MODEL --seconds 3600 --swap-every 60

Works on a copy of the model. Prints p99 over all requests and over those that ended within a second of a new version's
first answer, the failed requests, and the slope of the server's resident memory over the second half. Ends with 1 when
a request failed or the slope exceeds --max-slope; a soak of a few minutes says nothing about a slope by the hour.
"""

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from core.errors import BakeoffError
from core.promotion import promote
from core.repository import MANIFEST, ModelRepository
from services.client.aio_inference import AsyncInferenceClient

NAME, NEAR_S, MIB = "soak", 1.0, 1 << 20


class Soak:
    """One soak of one server."""

    def __init__(self, client: AsyncInferenceClient, process: psutil.Process, images: NDArray[np.uint8]) -> None:
        self._client, self._process, self._images = client, process, images
        self.answers: list[tuple[float, float]] = []
        """When each answer came and the seconds it took."""
        self.failed: list[str] = []
        self.swaps: list[float] = []
        self.memory: list[tuple[float, float]] = []
        """Time and MiB."""

    async def user(self, end: float) -> None:
        """Sends the next request when the last is answered."""
        while (start := time.monotonic()) < end:
            try:
                await self._client.predict(NAME, self._images)
            except BakeoffError as error:
                self.failed.append(str(error))
            self.answers.append((time.monotonic(), time.monotonic() - start))

    async def watch(self, end: float) -> None:
        """Notes the server's memory once a second."""
        while time.monotonic() < end:
            self.memory.append((time.monotonic(), self._process.memory_info().rss / MIB))
            await asyncio.sleep(1)

    async def swap(self, end: float, every_s: float, source: ModelRepository, root: Path, model: str) -> None:
        """Publishes a next version again and again, and notes when it answers."""
        target = ModelRepository(root)
        while time.monotonic() + every_s < end:
            await asyncio.sleep(every_s)
            version = await asyncio.to_thread(publish_next, source, target, model)
            while not await self._client.model_ready(NAME, version):
                await asyncio.sleep(0.02)
            self.swaps.append(time.monotonic())

    def report(self) -> float:
        """Prints what was seen; returns the slope in MiB per hour."""
        taken = 1000 * np.array([seconds for _, seconds in self.answers])
        near = [1000 * took for at, took in self.answers if any(abs(at - swap) < NEAR_S for swap in self.swaps)]
        half = self.memory[len(self.memory) // 2 :]
        slope = 3600 * float(np.polyfit([at for at, _ in half], [mib for _, mib in half], 1)[0])
        print(f"{len(taken)} requests, {len(self.failed)} failed {self.failed[:1]}")
        print(f"p50 {np.percentile(taken, 50):.2f} ms, p99 {np.percentile(taken, 99):.2f} ms over all")
        if near:
            print(f"p99 {np.percentile(near, 99):.2f} ms within {NEAR_S:g} s of {len(self.swaps)} swaps")
        print(f"memory {half[0][1]:.0f} to {half[-1][1]:.0f} MiB in the second half: {slope:+.1f} MiB an hour")
        return slope


def publish_next(source: ModelRepository, target: ModelRepository, model: str) -> int:
    """Publishes the model once more under NAME and returns the number; older versions than the last two go."""
    versions = target.versions(NAME)
    with tempfile.TemporaryDirectory() as folder:
        promoted = promote(source, model, None, ModelRepository(Path(folder)), NAME).artifact
        with target.staging() as staged:
            (Path(folder) / NAME / "1").rename(staged / "content")
            for path in (staged / "content").iterdir():
                path.rename(staged / path.name)
            (staged / "content").rmdir()
            version = target.publish(
                staged, lambda number, listed: promoted.model_copy(update={"version": number, "files": listed}), NAME
            ).version
    for old in versions[:-1]:
        folder_of_old = target.path(NAME, old)
        (folder_of_old / MANIFEST).unlink()
        shutil.rmtree(folder_of_old)
    return version


async def soak(options: argparse.Namespace, folder: Path) -> int:
    """Runs the server and the soak; the exit status."""
    source, root, address = ModelRepository(options.repository), folder / "models", folder / "address"
    root.mkdir()
    publish_next(source, ModelRepository(root), options.model)
    command = [sys.executable, "-m", "services.serving", "--runtime", options.runtime, "--repository", str(root)]
    server = subprocess.Popen([*command, "--address-file", str(address), "--poll-s", "0.5", "--log-level", "WARNING"])
    try:
        while not address.is_file():
            if server.poll() is not None:
                return 1
            await asyncio.sleep(0.05)
        artifact = source.artifact(options.model, source.latest(options.model))
        images = np.random.default_rng(0).integers(0, 256, (1, *artifact.preprocess.shape), np.uint8)
        async with AsyncInferenceClient(address.read_text().strip(), attempts=1) as client:
            while not await client.model_ready(NAME):
                await asyncio.sleep(0.05)
            run, end = Soak(client, psutil.Process(server.pid), images), time.monotonic() + options.seconds
            work = [run.user(end) for _ in range(options.users)]
            await asyncio.gather(*work, run.watch(end), run.swap(end, options.swap_every, source, root, options.model))
        slope = run.report()
        return int(bool(run.failed) or slope > options.max_slope)
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="bench-soak", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--repository", type=Path, default=Path(".bakeoff/models"))
    parser.add_argument("--runtime", default="onnxruntime")
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--users", type=int, default=8)
    parser.add_argument("--swap-every", type=float, default=60)
    parser.add_argument("--max-slope", type=float, default=20, help="MiB an hour")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bakeoff-soak-") as folder:
        raise SystemExit(asyncio.run(soak(options, Path(folder))))


if __name__ == "__main__":
    main()
