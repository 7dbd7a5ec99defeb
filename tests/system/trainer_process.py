"""A trainer service of its own, and specs for it."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bakeoff.run.v1 import run_pb2

from core.schemas.data import DataSpec, ImageSpec, Source, SplitSpec
from core.schemas.recipe import Recipe
from core.schemas.specs import PrepareSpec, TrainSpec
from services.client.control import TrainerClient, is_serving

ROOT = Path(__file__).parents[2]


@contextmanager
def trainer(
    home: Path, framework: str = "pytorch", threads: int = 1, module: str = "services.trainer", **places: str
) -> Iterator[TrainerClient]:
    """A trainer service with its folders below `home`; killed at the end, so that a restart has to cope.

    One thread by default: OpenMP's spinning threads stall each other where other tests share the cores.

    `places` says where `store` and `repository` are, if elsewhere.
    """
    address = home / "address"
    address.unlink(missing_ok=True)
    folders: dict[str, Path | str] = {"runs": home / "runs", "cache": home / "cache"}
    folders |= {"store": home / "store", "repository": home / "models", **places}
    flags = ["--threads", str(threads)]
    flags += [part for name, folder in folders.items() for part in (f"--{name}", str(folder))]
    command = [
        sys.executable,
        "-m",
        module,
        "--framework",
        framework,
        "--address-file",
        str(address),
        *flags,
    ]
    with (home / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not (address.is_file() and is_serving(address.read_text().strip())):
            assert process.poll() is None, (home / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with TrainerClient(address.read_text().strip()) as client:
            yield client
    finally:
        process.kill()
        process.wait()


def prepare(client: TrainerClient, run_id: str, source: Source, image: ImageSpec, skip: bool = False) -> run_pb2.Run:
    data = DataSpec(source=source, image=image, split=SplitSpec(policy="stratified"), skip_corrupt=skip)
    client.create(run_id, PrepareSpec(data=data, source_digest=client.inspect(source).digest))
    return client.finish(run_id, lambda event: None)


def training(fingerprint: str, epochs: int = 2, **changes: object) -> TrainSpec:
    base = TrainSpec(
        experiment="service",
        arm="matched",
        framework="pytorch",
        seed=0,
        architecture="digits-cnn",
        data=fingerprint,
        recipe=Recipe(mode="matched", epochs=epochs, batch_size=32),
        formats=("onnx",),
    )
    return base.model_copy(update=changes)
