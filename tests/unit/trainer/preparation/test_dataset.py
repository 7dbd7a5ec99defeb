"""Hugging Face data sets: local Parquet for real, the hub through a stand-in that answers as it would."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pytest

from core.errors import CancelledError, InvalidInputError, NotFoundError, NotReadyError
from core.prepared import PreparedData, open_prepared
from core.preprocess import decode
from core.schemas.data import SPLITS, DatasetSource, DataSpec, ImageSpec
from core.schemas.specs import PrepareSpec
from core.store import Store
from tests.unit.trainer.preparation.images import encoded, picture
from trainer.preparation import dataset as module
from trainer.preparation import inspect, prepare
from trainer.preparation.sources import Listing, open_source

CLASSES = ["cat", "dog", "猫 3"]
IMAGE = ImageSpec(height=5, width=6)
Row = dict[str, Any]


def rows(n: int, seed: int = 0) -> list[Row]:
    return [{"img": {"bytes": encoded(picture(seed + i)), "path": None}, "label": i % 3} for i in range(n)]


def save(folder: Path, name: str, content: list[Row], features: dict[str, Any] | None = None) -> Path:
    """One Parquet file as `datasets` writes it, its features in the schema."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds = features or {"img": datasets.Image(), "label": datasets.ClassLabel(names=CLASSES)}
    columns = {key: [row[key] for row in content] for key in kinds}
    datasets.Dataset.from_dict(columns, features=datasets.Features(kinds)).to_parquet(folder / name)
    return folder


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> None:
    datasets.disable_progress_bars()


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    folder = tmp_path / "pets"
    save(folder, "train-00000-of-00002.parquet", rows(12))
    save(folder, "train-00001-of-00002.parquet", rows(12, 100))
    return save(folder, "test.parquet", rows(9, 200))


def source(folder: Path, **options: Any) -> DatasetSource:
    return DatasetSource(name=str(folder), **options)


def listing(folder: Path, tmp_path: Path, **options: Any) -> Listing:
    return open_source(source(folder, **options), tmp_path / "work", lambda: None)


def prepared(found: DatasetSource, tmp_path: Path, **options: Any) -> PreparedData:
    spec = PrepareSpec(data=DataSpec(source=found, image=IMAGE, **options), source_digest="x")
    store = Store(str(tmp_path / "store"), tmp_path / "cache")
    return open_prepared(store, prepare(spec, store, tmp_path / "work", lambda done, total: None).fingerprint)


def test_local_parquet_is_inspected_by_its_footers(parquet: Path) -> None:
    found = inspect(source(parquet))
    assert found.classes == tuple(CLASSES)
    assert found.images == {"train": 24, "test": 9}
    assert found == inspect(source(parquet))
    save(parquet, "test.parquet", rows(6))
    assert inspect(source(parquet)).digest != found.digest


def test_rows_become_items_with_their_labels_and_places(parquet: Path, tmp_path: Path) -> None:
    data = prepared(source(parquet), tmp_path)
    content = {"train": rows(12) + rows(12, 100), "test": rows(9, 200)}
    for name in SPLITS:
        split = data.split(name)
        for image, label, item in zip(split.images, split.labels, data.items(name), strict=True):
            where, place = item.rstrip("]").split("[")
            row = content[where][int(place)]
            assert label == row["label"]
            np.testing.assert_array_equal(image, decode(row["img"]["bytes"], IMAGE))
    assert [data.manifest.images(name) for name in SPLITS] == [21, 3, 9]
    assert list((tmp_path / "work").iterdir()) == []


def test_golden_images_are_the_original_bytes(parquet: Path, tmp_path: Path) -> None:
    data = prepared(source(parquet), tmp_path)
    content = rows(9, 200)
    for file, index in zip(data.golden_files(), data.manifest.golden_indices, strict=True):
        place = int(data.items("test")[index].removeprefix("test[").rstrip("]"))
        assert file.read_bytes() == content[place]["img"]["bytes"]


def test_one_file_of_any_name_is_a_pool(tmp_path: Path) -> None:
    folder = save(tmp_path / "x", "pictures.parquet", rows(30))
    data = prepared(source(folder), tmp_path, split={"policy": "stratified"})
    assert sum(data.manifest.images(name) for name in SPLITS) == 30


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ({"bytes": b"", "path": None}, "it is empty"),
        ({"bytes": b"xyz", "path": None}, "not an image"),
        (None, "it is empty"),
    ],
)
def test_a_damaged_row_is_named_by_split_and_place(tmp_path: Path, damage: Row | None, reason: str) -> None:
    content = rows(12)
    content[4]["img"] = damage
    found = source(save(tmp_path / "x", "train.parquet", content))
    with pytest.raises(InvalidInputError, match=rf"train\[4\] cannot be decoded: {reason}"):
        prepared(found, tmp_path)
    data = prepared(found, tmp_path, skip_corrupt=True)
    assert [line.split(" ")[0] for line in data.manifest.skipped] == ["train[4]"]


@pytest.mark.parametrize("label", [-1, None])
def test_a_single_row_without_label_is_named(tmp_path: Path, label: int | None) -> None:
    content = rows(12)
    content[7]["label"] = label
    folder = save(tmp_path / "x", "train.parquet", content)
    with pytest.raises(InvalidInputError, match=r"train\[7\] has no label"):
        listing(folder, tmp_path)


def test_a_split_published_without_labels_is_left_out_and_reported(parquet: Path, tmp_path: Path) -> None:
    save(parquet, "test.parquet", [{**row, "label": -1} for row in rows(9)])
    found = listing(parquet, tmp_path)
    assert found.ignored == ("split test: published without labels",)
    assert set(found.own) == {"train"}
    assert len(found.labels) == 24


def test_an_empty_split_is_named(parquet: Path, tmp_path: Path) -> None:
    save(parquet, "test.parquet", [])
    with pytest.raises(InvalidInputError, match=r"split test of .* is empty"):
        prepared(source(parquet), tmp_path)


def test_images_that_lie_beside_the_table_are_read_from_there() -> None:
    assert module._encoded({"bytes": None, "path": "/data/x.png"}) == Path("/data/x.png")


def test_a_class_that_no_row_has_is_named(tmp_path: Path) -> None:
    found = source(save(tmp_path / "x", "train.parquet", [row for row in rows(30) if row["label"] != 2]))
    with pytest.raises(InvalidInputError, match="class '猫 3'"):
        prepared(found, tmp_path)


def test_the_column_to_take_is_asked_for_when_there_are_two(tmp_path: Path) -> None:
    kinds = {"a": datasets.Image(), "b": datasets.Image(), "label": datasets.ClassLabel(names=CLASSES)}
    content = [
        {"a": row["img"], "b": rows(1, 500 + i)[0]["img"], "label": row["label"]} for i, row in enumerate(rows(9))
    ]
    folder = save(tmp_path / "x", "train.parquet", content, kinds)
    with pytest.raises(
        InvalidInputError, match=r"2 columns of type Image: a \(Image\), b .*name one with image_column"
    ):
        inspect(source(folder))
    assert listing(folder, tmp_path, image_column="b").read(np.array([0])) == [content[0]["b"]["bytes"]]


@pytest.mark.parametrize(
    ("kinds", "options", "message"),
    [
        ({"img": datasets.Image(), "label": datasets.Value("int64")}, {}, "0 columns of type ClassLabel: .*cast one"),
        ({"label": datasets.ClassLabel(names=CLASSES)}, {}, "0 columns of type Image"),
        (None, {"image_column": "picture"}, "no column 'picture' of type Image: img .*name one with image_column"),
        (None, {"label_column": "img"}, "no column 'img' of type ClassLabel"),
    ],
)
def test_a_missing_column_lists_those_there_are(
    tmp_path: Path, kinds: dict[str, Any] | None, options: dict[str, str], message: str
) -> None:
    folder = save(tmp_path / "x", "train.parquet", rows(3), kinds)
    with pytest.raises(InvalidInputError, match=message):
        inspect(source(folder, **options))
    with pytest.raises(InvalidInputError, match=message):
        listing(folder, tmp_path, **options)


def test_a_folder_without_parquet_points_to_the_other_source(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no \*\.parquet file; for a folder of images use source kind folder"):
        inspect(source(tmp_path))


@pytest.mark.parametrize("name", ["/no/such/folder", "./nowhere", "a/b/c"])
def test_a_missing_folder_says_what_was_expected(name: str) -> None:
    message = "^/.* does not exist on this trainer's machine; expected a folder of Parquet files, or a name"
    with pytest.raises(NotFoundError, match=message):
        inspect(DatasetSource(name=name))


def test_config_and_revision_do_not_go_with_a_folder(parquet: Path) -> None:
    with pytest.raises(InvalidInputError, match="config and revision belong to hub names"):
        inspect(source(parquet, revision="main"))


def test_a_damaged_parquet_file_is_an_input_error(parquet: Path) -> None:
    (parquet / "train-00001-of-00002.parquet").write_bytes(b"PAR1 damaged")
    with pytest.raises(
        InvalidInputError, match=r"cannot be loaded: .*; expected a hub name, or a folder with the Parquet files of"
    ):
        inspect(source(parquet))


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, answer: Callable[..., Any]) -> None:
    monkeypatch.setattr(datasets, name, answer)


def test_a_hub_name_is_asked_for_with_its_config_and_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def builder(name: str, config: str | None, *, revision: str | None, cache_dir: str) -> Any:
        asked.append((name, config, revision))
        features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=CLASSES)})
        splits = {"train": SimpleNamespace(num_examples=50_000), "test": SimpleNamespace(num_examples=10_000)}
        return SimpleNamespace(
            hash=revision,
            config=SimpleNamespace(data_files=None),
            info=SimpleNamespace(features=features, splits=splits),
        )

    stand_in(monkeypatch, "load_dataset_builder", builder)
    found = inspect(DatasetSource(name="owner/pets", config="small", revision="abc"))
    assert asked == [("owner/pets", "small", "abc")]
    assert found.classes == tuple(CLASSES)
    assert found.images == {"train": 50_000, "test": 10_000}
    assert found.digest != inspect(DatasetSource(name="owner/pets", config="small", revision="abd")).digest


def test_a_hub_data_set_is_prepared_like_a_local_one(
    parquet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locally(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *_, cache_dir, **__: function("parquet", data_dir=str(parquet), cache_dir=cache_dir)

    for name in ("load_dataset", "load_dataset_builder"):
        stand_in(monkeypatch, name, locally(getattr(datasets, name)))
    hub, local = prepared(DatasetSource(name="owner/pets"), tmp_path), prepared(source(parquet), tmp_path)
    assert hub.fingerprint == local.fingerprint


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionError("Couldn't reach 'owner/pets' on the Hub"), NotReadyError),
        (datasets.exceptions.DatasetNotFoundError("Dataset 'owner/pets' doesn't exist on the Hub"), NotFoundError),
        (ValueError("BuilderConfig 'x' not found. Available: ['a', 'b']"), InvalidInputError),
    ],
)
def test_what_the_hub_answers_becomes_an_error_of_ours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, expected: type[Exception]
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    stand_in(monkeypatch, "load_dataset_builder", fail)
    stand_in(monkeypatch, "load_dataset", fail)
    with pytest.raises(expected, match=str(error).replace("[", r"\[")):
        inspect(DatasetSource(name="owner/pets"))
    with pytest.raises(expected, match=r"owner/pets|BuilderConfig"):
        open_source(DatasetSource(name="owner/pets"), tmp_path, lambda: None)


@pytest.mark.parametrize(
    "error", [ConnectionError("no network"), datasets.exceptions.DatasetNotFoundError("doesn't exist on the Hub")]
)
def test_a_mistyped_folder_that_was_taken_for_a_hub_name_is_told_as_such(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    stand_in(monkeypatch, "load_dataset_builder", fail)
    monkeypatch.chdir(tmp_path)
    message = rf"No folder {tmp_path}/data/asl is .*taken for a data set of the hub; write \./data/asl for a folder$"
    with pytest.raises((NotFoundError, NotReadyError), match=message):
        inspect(DatasetSource(name="data/asl"))


def test_a_slow_download_can_be_cancelled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ended = threading.Event()
    stand_in(monkeypatch, "load_dataset", lambda *_, **__: ended.wait(60))

    def cancel() -> None:
        raise CancelledError("stop")

    start = time.monotonic()
    with pytest.raises(CancelledError):
        open_source(DatasetSource(name="owner/pets"), tmp_path, cancel)
    assert time.monotonic() - start < 1
    ended.set()


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["train", "test"], {"train": "train", "test": "test"}),
        (["test", "Valid", "train"], {"train": "train", "Valid": "validation", "test": "test"}),
        (["full"], {"full": "all"}),
        (["extra", "train"], {"train": "train"}),
    ],
)
def test_splits_are_recognised_by_name(names: list[str], chosen: dict[str, str]) -> None:
    assert module._choose_splits(DatasetSource(name="x"), names, []) == chosen


@pytest.mark.parametrize(
    ("names", "message"), [(["a", "b"], "has splits a, b; expected"), (["val", "dev"], "two splits for validation")]
)
def test_splits_that_fit_nothing_are_listed(names: list[str], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        module._choose_splits(DatasetSource(name="x"), names, [])


def test_nothing_is_printed_and_no_framework_is_imported(parquet: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from core.schemas.data import DatasetSource;"
        "from trainer.preparation.sources import inspect, open_source;"
        f"s = DatasetSource(name={str(parquet)!r}); inspect(s); open_source(s, Path({str(tmp_path)!r}), lambda: None);"
        "assert not {'torch', 'tensorflow', 'keras', 'jax'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""
