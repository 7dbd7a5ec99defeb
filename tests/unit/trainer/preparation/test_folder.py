"""Folders: which layout it is, which files count, and what is wrong with it."""

import os
from pathlib import Path

import pytest

from core.errors import InvalidInputError, NotFoundError
from core.schemas.data import FolderSource
from tests.unit.trainer.preparation.images import class_folders, write
from trainer.preparation import SourceInspection, inspect
from trainer.preparation.folder import REPORTED, natural, scan


def look(root: Path) -> SourceInspection:
    return inspect(FolderSource(path=str(root)))


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"not decoded here")
    return path


def test_class_folders_are_one_pool_of_images(tmp_path: Path) -> None:
    found = look(class_folders(tmp_path, {"dog": 2, "cat": 3}))
    assert found.classes == ("cat", "dog")
    assert found.images == {"all": 5}


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Train", "VALID", "Test"), ("TRAINING", "dev", "testing")]
)
def test_split_folders_are_recognised_in_any_case(tmp_path: Path, names: tuple[str, str, str]) -> None:
    counts = {f"{name}/{label}": number for number, name in enumerate(names, 1) for label in ("cat", "dog")}
    found = look(class_folders(tmp_path, counts))
    assert found.images == {"train": 2, "validation": 4, "test": 6}
    assert found.classes == ("cat", "dog")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    assert look(class_folders(tmp_path, {"train": 1, "bus": 1, "test": 1})).classes == ("bus", "test", "train")


def test_frames_are_in_numeric_order() -> None:
    frames = ["f10.jpg", "f9.jpg", "f1.jpg", "f01.jpg", "e2b10", "e2b9", "10.png", "9.png"]
    assert sorted(frames, key=natural) == ["9.png", "10.png", "e2b9", "e2b10", "f01.jpg", "f1.jpg", "f9.jpg", "f10.jpg"]


def test_class_names_with_odd_characters_survive(tmp_path: Path) -> None:
    names = {"Größe 1": 1, "猫": 1, 'it\'s, "x"; {y}': 1, "🐈": 1, "[1]": 1, "%20": 1}
    assert set(look(class_folders(tmp_path, names)).classes) == set(names)


def test_files_that_are_no_images_are_reported_and_litter_is_not(tmp_path: Path) -> None:
    class_folders(tmp_path, {"cat": 1, "dog": 1})
    for name in (
        "cat/notes.txt",
        "cat/.DS_Store",
        "cat/Thumbs.db",
        "dog/more/x.png",
        "README.md",
        ".git/config",
        "__MACOSX/a",
    ):
        touch(tmp_path / name)
    assert scan(tmp_path).ignored == (
        "README.md: not a folder",
        "cat/notes.txt: not an image by its extension",
        "dog/more: a folder inside a class folder",
    )


def test_a_long_list_of_other_files_is_cut(tmp_path: Path) -> None:
    class_folders(tmp_path, {"cat": 1, "dog": 1})
    for number in range(REPORTED + 7):
        touch(tmp_path / "cat" / f"{number}.xml")
    ignored = scan(tmp_path).ignored
    assert len(ignored) == REPORTED + 1
    assert ignored[-1] == "and 7 more"


def test_other_folders_beside_split_folders_are_reported(tmp_path: Path) -> None:
    class_folders(tmp_path, {f"{s}/{c}": 1 for s in ("train", "test", "unlabelled") for c in ("a", "b")})
    assert scan(tmp_path).ignored == ("unlabelled: not one of the split folders train, validation (valid, val), test",)


def test_links_to_folders_and_files_are_followed(tmp_path: Path) -> None:
    real = class_folders(tmp_path / "real", {"cat": 2, "dog": 1})
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "cat").symlink_to(real / "cat", target_is_directory=True)
    (linked / "dog").mkdir()
    (linked / "dog" / "0.png").symlink_to(real / "dog" / "0.png")
    assert look(linked).images == {"all": 3}


def test_the_digest_changes_with_names_sizes_and_times_only(tmp_path: Path) -> None:
    root = class_folders(tmp_path, {"cat": 2, "dog": 2})
    before = look(root).digest
    assert look(root).digest == before
    os.utime(root / "cat" / "0.png", ns=(1, 1))
    changed = look(root).digest
    (root / "cat" / "1.png").rename(root / "cat" / "2.png")
    assert len({before, changed, look(root).digest}) == 3


@pytest.mark.parametrize(("kind", "state"), [("missing", "does not exist"), ("file", "is a file")])
def test_no_folder_there_says_what_was_expected(tmp_path: Path, kind: str, state: str) -> None:
    path = touch(tmp_path / "x") if kind == "file" else tmp_path / "x"
    where = rf"^{path} {state} on this trainer's machine"
    with pytest.raises(NotFoundError, match=rf"{where}; expected a folder of class folders, <class>/<image>"):
        look(path)


def test_a_relative_folder_that_is_not_there_is_told_with_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFoundError, match=rf"^{tmp_path}/images does not exist"):
        look(Path("images"))


@pytest.mark.parametrize("content", [(), ("a.png", "b.png")])
def test_a_folder_without_class_folders_is_refused(tmp_path: Path, content: tuple[str, ...]) -> None:
    for name in content:
        touch(tmp_path / name)
    with pytest.raises(InvalidInputError, match="has no class folders; expected"):
        look(tmp_path)


@pytest.mark.parametrize("name", ["bird", "train/bird"])
def test_an_empty_class_folder_is_named(tmp_path: Path, name: str) -> None:
    prefix = "train/" if "/" in name else ""
    class_folders(tmp_path, {f"{prefix}cat": 1, f"{prefix}dog": 1, name: 0})
    with pytest.raises(InvalidInputError, match=f"class folder .*{name} has no images; fill it or remove it"):
        look(tmp_path)


@pytest.mark.parametrize("split", ["test", "val"])
def test_an_empty_class_folder_outside_the_train_split_is_reported(tmp_path: Path, split: str) -> None:
    class_folders(tmp_path, {"train/cat": 2, "train/dog": 2, f"{split}/cat": 1, f"{split}/dog": 0})
    found = scan(tmp_path)
    assert found.classes == ("cat", "dog")
    assert found.ignored == (f"{split}/dog: no images",)


@pytest.mark.parametrize("content", ["dog/more/1.png", "dog/1.heic"])
def test_a_test_class_folder_that_holds_something_else_is_refused(tmp_path: Path, content: str) -> None:
    class_folders(tmp_path, {"train/cat": 2, "train/dog": 2, "test/cat": 1})
    touch(tmp_path / "test" / content)
    with pytest.raises(InvalidInputError, match=r"class folder .*test/dog has no images"):
        look(tmp_path)


def test_split_folders_without_images_are_splits_all_the_same(tmp_path: Path) -> None:
    class_folders(tmp_path, {"train/cat": 2, "train/dog": 2, "test/cat": 0, "test/dog": 0})
    assert look(tmp_path).images == {"train": 4, "test": 0}


def test_pointing_one_level_too_high_is_recognised(tmp_path: Path) -> None:
    class_folders(tmp_path, {"pets/cat": 1, "pets/dog": 1})
    with pytest.raises(InvalidInputError, match=r"has no images but folders \(cat, dog, …\); did you mean .*pets\?"):
        look(tmp_path)


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="only one class, 'cat'"):
        look(class_folders(tmp_path, {"cat": 3}))


def test_two_folders_for_one_split_are_named(tmp_path: Path) -> None:
    class_folders(tmp_path, {f"{s}/{c}": 1 for s in ("train", "val", "valid") for c in ("a", "b")})
    with pytest.raises(InvalidInputError, match=r"two folders for split validation, (val/ and valid|valid/ and val)/"):
        look(tmp_path)


def test_a_split_folder_without_class_folders_has_no_labels(tmp_path: Path) -> None:
    class_folders(tmp_path, {"train/cat": 1, "train/dog": 1})
    write(tmp_path / "test" / "1.png")
    with pytest.raises(
        InvalidInputError, match=r"test \(split test\) has no class folders, so its images have no labels"
    ):
        look(tmp_path)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class_folders(tmp_path, {"cat": 1, "dog": 1})
    listed = os.scandir

    def guarded(path: str | Path) -> object:
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(InvalidInputError, match="dog cannot be listed: Permission denied; check its permissions"):
        look(tmp_path)
