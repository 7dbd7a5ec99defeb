"""Preparation on the real data sets: the layouts, sizes and quirks that generated images do not have."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.prepared import PreparedData, open_prepared
from core.preprocess import decode
from core.schemas.data import SPLITS, DataSpec
from core.schemas.specs import PrepareSpec
from core.store import Store
from trainer.preparation import inspect, prepare

DATA = Path(__file__).parents[2] / "../shared/data"

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real data sets are not beside the repository (../shared/data)"),
]


def data_spec(source: dict[str, Any], image: dict[str, Any], **options: Any) -> PrepareSpec:
    data = DataSpec.model_validate({"source": source, "image": image, **options})
    return PrepareSpec(data=data, source_digest=inspect(data.source).digest)


def run(spec: PrepareSpec, folder: Path) -> PreparedData:
    store = Store(str(folder / "store"), folder / "cache")
    return open_prepared(store, prepare(spec, store, folder / "work", lambda done, total: None).fingerprint)


def linked(root: Path, target: Path, each: int) -> Path:
    """A copy of a folder tree with links to the first files of each class."""
    for folder in sorted(p for p in root.rglob("*") if p.is_dir()):
        images = sorted(p for p in folder.iterdir() if p.is_file())[:each]
        (target / folder.relative_to(root)).mkdir(parents=True, exist_ok=True)
        for image in images:
            (target / folder.relative_to(root) / image.name).symlink_to(image.resolve())
    return target


def assert_golden(data: PreparedData) -> None:
    spec, test = data.manifest.spec, data.split("test")
    assert len(data.golden_files()) == 8
    for file, index in zip(data.golden_files(), data.manifest.golden_indices, strict=True):
        np.testing.assert_array_equal(decode(file, spec.image), test.images[index])


def test_mnist_is_prepared_completely_from_its_parquet_files(tmp_path: Path) -> None:
    spec = data_spec({"kind": "dataset", "name": str(DATA / "mnist")}, {"height": 28, "width": 28, "color": "grey"})
    start = time.perf_counter()
    data = run(spec, tmp_path)
    seconds = time.perf_counter() - start
    print(f"mnist: 70,000 images in {seconds:.1f} s, {70_000 / seconds:,.0f} images/s")
    assert [data.manifest.images(name) for name in SPLITS] == [54_000, 6_000, 10_000]
    assert data.manifest.classes == tuple("0123456789")
    # The published mean and deviation of the 60,000 training images are 0.1307 and 0.3081.
    assert data.manifest.mean[0] == pytest.approx(0.1307, abs=2e-3)
    assert data.manifest.std[0] == pytest.approx(0.3081, abs=2e-3)
    assert_golden(data)


def test_chest_xrays_keep_their_test_split_and_get_a_validation_split(tmp_path: Path) -> None:
    root = linked(DATA / "chest-xray", tmp_path / "xray", each=40)
    image = {"height": 150, "width": 150, "color": "grey"}
    data = run(data_spec({"kind": "folder", "path": str(root)}, image), tmp_path)
    assert data.manifest.counts == {
        "train": {"NORMAL": 36, "PNEUMONIA": 36},
        "validation": {"NORMAL": 4, "PNEUMONIA": 4},
        "test": {"NORMAL": 40, "PNEUMONIA": 40},
    }
    assert all(item.startswith("test/") for item in data.items("test"))
    assert_golden(data)


@pytest.mark.parametrize("geometry", ["stretch", "crop", "pad"])
def test_photos_of_all_sizes_come_to_one(tmp_path: Path, geometry: str) -> None:
    root = linked(DATA / "cats-dogs", tmp_path / "pets", each=30)
    image = {"height": 96, "width": 128, "geometry": geometry}
    data = run(data_spec({"kind": "folder", "path": str(root)}, image), tmp_path)
    assert data.split("train").images.shape == (54, 96, 128, 3)
    assert_golden(data)


def test_video_frames_split_contiguously_do_not_leak(tmp_path: Path) -> None:
    """Neighbouring frames are near-copies: how far test frames are from the nearest training frame tells a leak."""
    root = linked(DATA / "asl", tmp_path / "asl", each=60)
    distances = {}
    for policy in ("contiguous", "stratified"):
        image = {"height": 32, "width": 32, "color": "grey"}
        spec = data_spec({"kind": "folder", "path": str(root)}, image, split={"policy": policy})
        data = run(spec, tmp_path / policy)
        assert len(data.manifest.classes) == 29
        assert_golden(data)
        train, test = data.split("train"), data.split("test")
        known = train.images[train.labels == 0].astype(np.int16)
        asked = test.images[test.labels == 0].astype(np.int16)
        distances[policy] = np.median([np.abs(known - image).mean(axis=(1, 2, 3)).min() for image in asked])
    assert distances["contiguous"] > 1.3 * distances["stratified"]


PEAK = """
import sys
from pathlib import Path
from core.schemas.data import DataSpec
from core.schemas.specs import PrepareSpec
from core.store import Store
from trainer.preparation import prepare
root, folder = sys.argv[1:]
image = {"height": 64, "width": 64}
data = DataSpec.model_validate({"source": {"kind": "folder", "path": root}, "image": image})
store = Store(folder + "/store", Path(folder) / "cache")
prepare(PrepareSpec(data=data, source_digest="x"), store, Path(folder) / "work", lambda done, total: None)
# Not ru_maxrss, which starts at the size of the process that forked this one.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    peaks = []
    for each in (10, 100):
        root = linked(DATA / "asl", tmp_path / f"asl{each}", each)
        command = [sys.executable, "-c", PEAK, str(root), str(tmp_path / f"out{each}")]
        peaks.append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024)
    print(f"peak memory: {peaks[0]:.0f} MiB for 290 images, {peaks[1]:.0f} MiB for 2,900 (34 MiB of pixels)")
    assert peaks[1] - peaks[0] < 16
