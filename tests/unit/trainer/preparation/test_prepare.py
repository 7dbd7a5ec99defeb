"""From a source to a prepared object in the store: whole, the same every time, or not at all."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from core.errors import CancelledError, InvalidInputError
from core.prepared import PreparedData, open_prepared
from core.preprocess import decode
from core.schemas.data import SPLITS, DataSpec, DigitsSource, ImageSpec
from core.schemas.specs import PrepareSpec
from core.store import Store
from tests.unit.trainer.preparation.images import SMALL, class_folders, encoded, folder_spec, picture, write
from trainer.preparation import Prepared, gaps, prepare

DIGITS = PrepareSpec(
    data=DataSpec(source=DigitsSource(), image=ImageSpec(height=8, width=8, color="grey")), source_digest="x"
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"), tmp_path / "cache")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "pets", {"cat": 12, "dog": 20})


def run(spec: PrepareSpec, store: Store, work: Path) -> Prepared:
    return prepare(spec, store, work, lambda done, total: None)


def opened(spec: PrepareSpec, store: Store, work: Path) -> PreparedData:
    return open_prepared(store, run(spec, store, work).fingerprint)


def assert_nothing_left(store: Store, work: Path) -> None:
    assert store.ids("prepared") == store.ids("sources") == []
    assert store.local_root is not None
    assert [p for p in store.local_root.rglob("*") if p.is_file()] == []
    assert list(work.iterdir()) == []


def test_arrays_labels_and_items_belong_together(pets: Path, store: Store, work: Path) -> None:
    data = opened(folder_spec(pets), store, work)
    seen = []
    for name in SPLITS:
        split, items = data.split(name), data.items(name)
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.int64
        assert len(split.images) == len(split) == len(items) == data.manifest.images(name)
        for image, label, item in zip(split.images, split.labels, items, strict=True):
            np.testing.assert_array_equal(image, decode(pets / item, SMALL))
            assert item.split("/")[0] == data.manifest.classes[label]
        seen += items
    assert sorted(seen) == sorted(p.relative_to(pets).as_posix() for p in pets.rglob("*.png"))
    assert list(work.iterdir()) == []


def test_counts_and_statistics_are_those_of_the_arrays(pets: Path, store: Store, work: Path) -> None:
    data = opened(folder_spec(pets), store, work)
    assert {name: sum(counts.values()) for name, counts in data.manifest.counts.items()} == {
        name: len(data.split(name)) for name in SPLITS
    }
    pixels = data.split("train").images.reshape(-1, 3) / 255
    np.testing.assert_allclose(data.manifest.mean, pixels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(data.manifest.std, pixels.std(0), rtol=1e-12)


def test_golden_files_decode_to_exactly_the_prepared_rows(pets: Path, store: Store, work: Path) -> None:
    spec = folder_spec(pets, "stratified")
    data = opened(spec, store, work)
    indices = data.manifest.golden_indices
    test = data.split("test")
    assert indices[0] == 0
    assert indices[-1] == len(test) - 1
    assert len(indices) == len(data.golden_files()) <= 8
    for file, index in zip(data.golden_files(), indices, strict=True):
        assert file.suffix == ".png"
        np.testing.assert_array_equal(decode(file, spec.data.image), test.images[index])
        assert file.read_bytes() == (pets / data.items("test")[index]).read_bytes()


def test_digits_are_prepared_with_eight_golden_pngs(store: Store, work: Path) -> None:
    data = opened(DIGITS, store, work)
    assert sum(data.manifest.images(name) for name in SPLITS) == 1797
    assert len(data.golden_files()) == 8
    for file, index in zip(data.golden_files(), data.manifest.golden_indices, strict=True):
        np.testing.assert_array_equal(decode(file, DIGITS.data.image), data.split("test").images[index])


def test_digits_prepare_to_the_same_bytes_everywhere(store: Store, work: Path) -> None:
    # Written down once: the bytes depend on the source and the split, not on time, place or machine.
    assert {name: digest[:12] for name, digest in run(DIGITS, store, work).manifest.sha256.items()} == {
        "train.images.npy": "965b9aa0d985",
        "train.labels.npy": "588dbbbe3637",
        "train.items.txt": "374e5c261a26",
        "validation.images.npy": "07d82f73e9b7",
        "validation.labels.npy": "0aee756f557d",
        "validation.items.txt": "4e358a20a603",
        "test.images.npy": "43b71b584411",
        "test.labels.npy": "c0a7bb1ff03c",
        "test.items.txt": "52debe5b47a7",
    }


def test_the_fingerprint_does_not_depend_on_where_and_when(pets: Path, tmp_path: Path, work: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(pets, moved)
    for path in moved.rglob("*.png"):
        os.utime(path, (1, 1))
    here = run(folder_spec(pets), Store(str(tmp_path / "one"), tmp_path), work)
    there = run(folder_spec(moved), Store(str(tmp_path / "two"), tmp_path), work)
    assert here.fingerprint == there.fingerprint
    assert here.manifest.source_digest != there.manifest.source_digest


@pytest.mark.parametrize("change", [{"policy": "contiguous"}, {"image": SMALL.model_copy(update={"color": "grey"})}])
def test_another_spec_gives_another_fingerprint(
    pets: Path, store: Store, work: Path, change: dict[str, object]
) -> None:
    plain, changed = run(folder_spec(pets), store, work), run(folder_spec(pets, **change), store, work)  # type: ignore[arg-type]
    assert plain.fingerprint != changed.fingerprint


def test_the_second_time_nothing_is_decoded(
    pets: Path, store: Store, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(folder_spec(pets), store, work)
    monkeypatch.setattr("core.preprocess.decode", None)
    assert run(folder_spec(pets), store, work) == first


def test_a_changed_file_is_noticed(pets: Path, store: Store, work: Path) -> None:
    first = run(folder_spec(pets), store, work)
    write(pets / "cat" / "0.png", seed=999)
    assert run(folder_spec(pets), store, work).fingerprint != first.fingerprint


def test_prepared_data_that_was_deleted_is_made_again(pets: Path, store: Store, work: Path) -> None:
    first = run(folder_spec(pets), store, work)
    shutil.rmtree(store.path("prepared", first.fingerprint))
    assert run(folder_spec(pets), store, work) == first


def test_a_remote_store_gets_the_same(pets: Path, tmp_path: Path, store: Store, work: Path) -> None:
    remote = Store("memory://prepared-test", tmp_path / "copies")
    assert run(folder_spec(pets), remote, work).fingerprint == run(folder_spec(pets), store, work).fingerprint


def test_progress_runs_from_nothing_to_all(pets: Path, store: Store, work: Path) -> None:
    calls: list[tuple[int, int]] = []
    prepare(folder_spec(pets), store, work, lambda done, total: calls.append((done, total)))
    assert calls[0] == (0, 0)
    assert calls[-1] == (32, 32)
    assert calls == sorted(calls)


def test_cancelling_leaves_nothing_half_written(pets: Path, store: Store, work: Path) -> None:
    def cancel(done: int, total: int) -> None:
        if total:
            raise CancelledError("stop")

    start = time.monotonic()
    with pytest.raises(CancelledError):
        prepare(folder_spec(pets), store, work, cancel)
    assert time.monotonic() - start < 1
    assert_nothing_left(store, work)


def test_a_corrupt_image_is_named_and_nothing_is_published(pets: Path, store: Store, work: Path) -> None:
    (pets / "dog" / "7.png").write_bytes(b"")
    with pytest.raises(
        InvalidInputError, match=r"dog/7\.png cannot be decoded: it is empty \(0 bytes\); .*skip_corrupt"
    ):
        run(folder_spec(pets), store, work)
    assert_nothing_left(store, work)


def test_skipped_images_are_listed_and_the_rest_stays_in_place(pets: Path, store: Store, work: Path) -> None:
    before = opened(folder_spec(pets), store, work)
    photo = encoded(picture(5), "JPEG")
    (pets / "cat" / "3.png").write_bytes(photo[: len(photo) // 2])
    (pets / "dog" / "7.png").unlink()
    (pets / "dog" / "7.png").symlink_to("nowhere.png")
    after = opened(folder_spec(pets, skip_corrupt=True), store, work)
    assert sorted(line.split(" ")[0] for line in after.manifest.skipped) == ["cat/3.png", "dog/7.png"]
    for name in SPLITS:
        kept = [item for item in before.items(name) if item not in ("cat/3.png", "dog/7.png")]
        assert after.items(name) == kept


def test_a_class_that_skipping_emptied_is_named(tmp_path: Path, store: Store, work: Path) -> None:
    root = class_folders(tmp_path / "pets", {"cat": 5, "dog": 3})
    for path in (root / "dog").iterdir():
        path.write_bytes(b"damaged")
    with pytest.raises(InvalidInputError, match=r"class 'dog' has no image in the train split \(none anywhere\)"):
        run(folder_spec(root, skip_corrupt=True), store, work)
    assert_nothing_left(store, work)


def test_mixed_channel_counts_are_an_error_that_names_one_of_each(pets: Path, store: Store, work: Path) -> None:
    for path in (pets / "cat").iterdir():
        write(path, mode="L")
    with pytest.raises(
        InvalidInputError,
        match=r"mixed channel counts: cat/\d+\.png is grey, dog/\d+\.png is in colour; .*mixed_channels",
    ):
        run(folder_spec(pets), store, work)
    assert_nothing_left(store, work)


@pytest.mark.parametrize(("color", "channels"), [("grey", 1), ("rgb", 3)])
def test_mixed_channel_counts_are_converted_when_asked(
    pets: Path, store: Store, work: Path, color: str, channels: int
) -> None:
    write(pets / "cat" / "0.png", mode="L")
    image = ImageSpec(height=4, width=4, color=color)
    data = opened(folder_spec(pets, image=image, mixed_channels="convert"), store, work)
    assert data.split("train").images.shape[1:] == (4, 4, channels)


def test_colour_images_may_be_turned_grey_without_further_ado(pets: Path, store: Store, work: Path) -> None:
    image = ImageSpec(height=4, width=4, color="grey")
    assert opened(folder_spec(pets, image=image), store, work).split("train").images.shape[1:] == (4, 4, 1)


@pytest.mark.parametrize("empty_folder", [True, False])
@pytest.mark.parametrize("policy", ["given", "stratified"])
def test_a_class_missing_from_the_test_folder_is_prepared_and_named(
    tmp_path: Path, store: Store, work: Path, empty_folder: bool, policy: str
) -> None:
    counts = {"train/cat": 4, "train/dog": 4, "test/cat": 2} | ({"test/dog": 0} if empty_folder else {})
    manifest = run(folder_spec(class_folders(tmp_path / "x", counts), policy), store, work).manifest
    if policy == "stratified":  # The folders do not say what is for the test.
        assert gaps(manifest) == ()
        return
    assert manifest.counts["test"] == {"cat": 2, "dog": 0}
    assert manifest.counts["train"] == {"cat": 3, "dog": 3}
    assert gaps(manifest) == (
        "no test image of class 'dog': nothing will say how well that is recognised, and the report is marked "
        "incomplete",
    )
    assert [entry for entry in manifest.ignored if "dog" in entry] == ["test/dog: no images"] * empty_folder


def test_a_class_whose_only_test_image_is_damaged_is_prepared_and_named(
    tmp_path: Path, store: Store, work: Path
) -> None:
    root = class_folders(tmp_path / "x", {"train/cat": 4, "train/dog": 4, "test/cat": 2, "test/dog": 1})
    (root / "test/dog/0.png").write_bytes(b"damaged")
    manifest = run(folder_spec(root, skip_corrupt=True), store, work).manifest
    assert manifest.without("test") == ("dog",)
    assert manifest.without("validation") == ()


def test_classes_too_rare_for_every_split_are_prepared_and_named(tmp_path: Path, store: Store, work: Path) -> None:
    root = class_folders(tmp_path / "x", {"cat": 10, "dog": 2, "emu": 1, "fox": 1})
    manifest = run(folder_spec(root), store, work).manifest
    assert gaps(manifest) == (
        "no validation image of classes 'dog', 'emu' and 'fox': each epoch's validation, temperature and threshold "
        "are those of the other classes",
        "no test image of classes 'emu' and 'fox': nothing will say how well that is recognised, and the report is "
        "marked incomplete",
    )


@pytest.mark.parametrize(("split", "purpose"), [("test", "evaluate on"), ("validation", "follow the training by")])
def test_a_split_folder_without_any_image_is_refused_and_nothing_is_carved_for_it(
    tmp_path: Path, store: Store, work: Path, split: str, purpose: str
) -> None:
    root = class_folders(tmp_path / "x", {"train/cat": 4, "train/dog": 4, f"{split}/cat": 0, f"{split}/dog": 0})
    expected = rf"the {split} split has no images \(.*0 images in {split}.*\), .* nothing to {purpose}; put images of"
    with pytest.raises(InvalidInputError, match=expected):
        run(folder_spec(root), store, work)
    assert_nothing_left(store, work)


def test_a_channel_that_never_changes_has_deviation_one(tmp_path: Path, store: Store, work: Path) -> None:
    root = class_folders(tmp_path / "x", {"a": 3, "b": 3})
    for path in root.rglob("*.png"):
        write(path, mode="L")
    from PIL import Image

    for number, path in enumerate(sorted(root.rglob("*.png"))):
        Image.new("RGB", (4, 4), (0, 10 * number, 0)).save(path)
    manifest = run(folder_spec(root), store, work).manifest
    assert manifest.std[0] == manifest.std[2] == 1.0
    assert 0 < manifest.std[1] < 1


def test_names_and_classes_with_odd_characters_come_back_as_they_were(tmp_path: Path, store: Store, work: Path) -> None:
    root = class_folders(tmp_path / "x", {"größe, 1": 3, "猫 🐈": 3})
    (root / "猫 🐈" / "0.png").rename(root / "猫 🐈" / 'bild\u202f"1"\'ü.png')
    data = opened(folder_spec(root), store, work)
    assert data.manifest.classes == ("größe, 1", "猫 🐈")
    items = [item for name in SPLITS for item in data.items(name)]
    assert len(items) == 6
    assert all((root / item).is_file() for item in items)


@pytest.mark.parametrize("name", ["a\nb.png", "a\u2028b.png", os.fsdecode(b"a\xffb.png")])
def test_a_file_name_that_no_list_can_hold_is_refused(pets: Path, store: Store, work: Path, name: str) -> None:
    (pets / "cat" / "0.png").rename(pets / "cat" / name)
    with pytest.raises(InvalidInputError, match="rename it"):
        run(folder_spec(pets), store, work)
    assert_nothing_left(store, work)


def test_frames_of_a_class_go_to_splits_in_numeric_blocks(tmp_path: Path, store: Store, work: Path) -> None:
    root = class_folders(tmp_path / "x", {"a": 12, "b": 12})
    data = opened(folder_spec(root, "contiguous"), store, work)
    frames = [int(Path(item).stem) for name in SPLITS for item in data.items(name) if item.startswith("a/")]
    assert frames == list(range(12))
