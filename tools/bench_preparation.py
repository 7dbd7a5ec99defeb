"""Preparing a folder of JPEGs against Pillow alone, and how memory grows with the number of images.

    python tools/bench_preparation.py [--images 87000] [--rounds 3] [--size 200] [--to 64]

Generates the images in a temporary folder. Each measurement is a process of its own; the two take turns. Pillow alone
opens, converts and resizes on as many threads and keeps nothing. Seconds are wall time, CPU time that of the process.
Ends with status 1 where a goal is missed: a median below 0.8 of Pillow alone, or memory that grows with the images by
more than a tenth of their pixels.
"""

import argparse
import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
CLASSES = 29
QUALITY = 90
RATIO, GROWTH = 0.8, 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=87_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=200, help="pixels of a side of the generated images")
    parser.add_argument("--to", type=int, default=64, help="pixels of a side of the prepared images")
    parser.add_argument("--child", nargs=2, metavar=("KIND", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        kind, folder = arguments.child
        if kind == "ours":  # importing is no part of either
            importlib.import_module("trainer.preparation.folder")
        print(json.dumps(timed({"ours": prepare, "pillow": decode}[kind], Path(folder), arguments.to)))
        return
    with tempfile.TemporaryDirectory(prefix="bench-preparation-") as work:
        numbers, found = (arguments.images // 8, arguments.images), []
        for number in numbers:
            folder = Path(work) / str(number)
            generate(folder, number, arguments.size)
            found.append(compare(folder, number, arguments.rounds, arguments.to))
    pixels = (numbers[1] - numbers[0]) * arguments.to**2 * 3 / 2**20
    grown = found[1][1] - found[0][1]
    missed = [f"{ratio:.3f} of Pillow alone, goal {RATIO}" for ratio, _ in found if ratio < RATIO]
    if grown > GROWTH * pixels:
        missed.append(f"memory grew by {grown:,.0f} MiB with {pixels:,.0f} MiB of pixels")
    if missed:
        raise SystemExit(f"missed: {'; '.join(missed)}")


def compare(folder: Path, number: int, rounds: int, to: int) -> tuple[float, float]:
    """Prints one line; the median ratio and the peak in MiB."""
    runs = [{kind: child(kind, folder, to) for kind in ("pillow", "ours")} for _ in range(rounds)]
    wall = [run["pillow"]["seconds"] / run["ours"]["seconds"] for run in runs]
    cpu = [run["pillow"]["cpu"] / run["ours"]["cpu"] for run in runs]
    busy = statistics.median(run["ours"]["cpu"] / run["ours"]["seconds"] for run in runs)
    rate = number / statistics.median(run["ours"]["seconds"] for run in runs)
    peak = max(run["ours"]["peak_mib"] for run in runs)
    print(
        f"{number:,} images: {rate:,.0f} images/s, {statistics.median(wall):.2f} of Pillow alone "
        f"({min(wall):.2f}–{max(wall):.2f}; of CPU time {statistics.median(cpu):.2f}), {busy:.2f} cores busy, "
        f"peak memory {peak:,.0f} MiB",
        flush=True,
    )
    return statistics.median(wall), peak


def child(kind: str, folder: Path, to: int) -> dict[str, float]:
    """One measurement in a fresh process."""
    command = [sys.executable, __file__, "--to", str(to), "--child", kind, str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))}
    found: dict[str, float] = json.loads(subprocess.check_output(command, env=environment, text=True))
    return found


def timed(work: Callable[[Path, int], None], folder: Path, to: int) -> dict[str, float]:
    """Wall and CPU seconds, and the process's peak memory."""
    start, cpu = time.perf_counter(), time.process_time()
    work(folder, to)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu, "peak_mib": peak}


def prepare(folder: Path, to: int) -> None:
    """What a prepare run does."""
    from core.schemas.data import DataSpec, FolderSource, ImageSpec, SplitSpec
    from core.schemas.specs import PrepareSpec
    from core.store import Store
    from trainer import preparation

    data = DataSpec(
        source=FolderSource(path=str(folder)),
        image=ImageSpec(height=to, width=to),
        split=SplitSpec(policy="stratified"),
    )
    with tempfile.TemporaryDirectory(prefix="bench-store-", dir=folder.parent) as work:
        store = Store(f"{work}/store", Path(work) / "cache")
        spec = PrepareSpec(data=data, source_digest="of no importance here")
        preparation.prepare(spec, store, Path(work) / "work", lambda done, total: None)


def decode(folder: Path, to: int) -> None:
    """What cannot be saved: Pillow's decoding and resizing, on every core."""
    paths = sorted(folder.rglob("*.jpg"))

    def one(path: Path) -> None:
        np.asarray(Image.open(path).convert("RGB").resize((to, to), Image.Resampling.BILINEAR))

    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) + 1) as pool:
        for _ in pool.map(one, paths, chunksize=64):
            pass


def generate(folder: Path, number: int, size: int) -> None:
    """JPEGs with the detail of a photograph, by class, from a few distinct ones."""
    draw = np.random.default_rng(0)
    rough = draw.integers(0, 256, (16, size // 8, size // 8, 3), dtype=np.uint8)
    pictures = [Image.fromarray(one).resize((size, size), Image.Resampling.BICUBIC) for one in rough]
    encoded = []
    for place, picture in enumerate(pictures):
        path = folder.parent / f"{place}.jpg"
        picture.save(path, quality=QUALITY)
        encoded.append(path.read_bytes())
    for label in range(CLASSES):
        (folder / f"c{label:02d}").mkdir(parents=True)
    for item in range(number):
        (folder / f"c{item % CLASSES:02d}" / f"{item}.jpg").write_bytes(encoded[item % len(encoded)])


if __name__ == "__main__":
    main()
