"""Each framework's own loader, decoder, resize and augmentation on original images."""

import pytest

from core.schemas.recipe import HAVE_WORKERS, OWN_BATCH_SIZE
from tests.contract.conftest import Answers, Probes
from tests.contract.own_pipeline import CHANGES, DEEP, IMAGES, IMBALANCE
from trainer.shared_memory import SHARED_MEMORY

pytestmark = [pytest.mark.contract, pytest.mark.timeout(2700)]


def test_lossless_originals_of_the_right_size_arrive_as_they_are(answers: Answers) -> None:
    assert answers.facts["own/decoded"] == IMAGES


@pytest.mark.parametrize("kind", ["files", "arrays"])
@pytest.mark.parametrize("change", CHANGES)
def test_every_change_changes_images_and_nothing_else(answers: Answers, change: str, kind: str) -> None:
    found = answers.facts[f"own/{change}/{kind}"]
    assert found["shape"] == [IMAGES, 22, 22, 3]
    assert found["dtype"] == "uint8"
    assert found["labels"] == answers.facts["own/labels"]
    # A flip leaves every second image alone; fastai every fourth that is turned, zoomed or lit.
    assert found["known"] < IMAGES
    assert found["brightness"] == pytest.approx(answers.facts["own/brightness"], rel=0.5)


def test_a_split_without_a_class_keeps_the_numbers_of_the_others(answers: Answers) -> None:
    found = answers.facts["own/gap"]
    assert sorted(found) == [0] * (IMAGES // 3) + [2] * (IMAGES // 3)


@pytest.mark.parametrize("kind", ["files", "arrays"])
def test_a_weighted_sampler_draws_every_class_equally_often_whatever_the_imbalance(answers: Answers, kind: str) -> None:
    found = answers.facts[f"own/weighted/{kind}"]
    images = sum(number for _, number in IMBALANCE)
    assert sum(found["labels"]) == found["known"] == images
    # A third of 240 each; four standard deviations of a drawn third are 29.
    assert all(abs(number - images / 3) < 30 for number in found["labels"]), found


@pytest.mark.parametrize("kind", ["files", "arrays"])
def test_the_picture_of_varied_images_has_as_many_of_each_whatever_the_sampler(answers: Answers, kind: str) -> None:
    # Three classes, eight images of 22 pixels each, two pixels between them.
    assert answers.facts[f"own/picture/{kind}"] == [8 * 24 - 2, 3 * 24 - 2]


def test_originals_of_other_sizes_are_resized_by_the_framework(answers: Answers) -> None:
    assert answers.facts["own/sizes"] < 20


def test_pixels_of_16_bits_keep_their_high_byte(answers: Answers) -> None:
    assert answers.facts["own/deep"] == [value >> 8 for value in DEEP]


def test_an_original_that_cannot_be_read_is_named(answers: Answers) -> None:
    for message in answers.facts["own/refused"]:
        assert "broken.tiff" in message
        assert not message.startswith("not")
        assert "\n" not in message


READ = {
    "keras": {"colour.bmp", "colour.gif"},
    "tensorflow": {"colour.bmp", "colour.gif", "colour.jfif", "colour.webp", "grey.jfif"},
}
"""Of the kinds that are in question; PyTorch and fastai open all of them with Pillow."""


def test_files_that_a_frameworks_loader_does_not_decode_are_named_before_it_trains(answers: Answers) -> None:
    said = answers.facts["own/kinds"]
    read = READ.get(answers.framework, {*said})
    assert {kind for kind, words in said.items() if words == "not refused"} == read
    for kind in said.keys() - read:
        color, suffix = kind.split(".")
        assert f".{suffix} as {color}; it reads " in said[kind], said[kind]


def test_augmentation_never_reaches_the_exported_graph(answers: Answers) -> None:
    gaps = {name: gap for name, gap in answers.facts.items() if name.startswith("own/exported/")}
    assert len(gaps) >= 2
    assert max(gaps.values()) < 1e-5


def test_the_batch_size_left_to_a_framework_is_that_of_its_own_loader(answers: Answers) -> None:
    assert answers.facts["own/batch"] in (None, OWN_BATCH_SIZE[answers.framework])  # type: ignore[index]


@pytest.mark.parametrize("case", ["files", "weighted-arrays"])
def test_a_varied_training_goes_on_after_an_epoch_and_in_torch_bit_for_bit(answers: Answers, case: str) -> None:
    found = answers.facts[f"own/resumed/{case}"]
    assert found["epochs"] == [1, 2]
    if answers.framework in ("pytorch", "fastai"):  # the others shuffle anew
        assert found["losses"][0] == found["losses"][1]
        assert found["equal"]
    assert found["released"]


@pytest.mark.skipif(not SHARED_MEMORY.is_dir(), reason="worker processes pass their batches through /dev/shm")
@pytest.mark.parametrize("framework", HAVE_WORKERS)
def test_as_many_workers_make_the_same_training_twice_and_after_a_resumption(probes: Probes, framework: str) -> None:
    facts = probes[framework].facts
    first, second = facts["own/workers"]
    assert first["losses"] == second["losses"]
    assert first["losses"][0] == first["losses"][1]
    assert first["equal"]
    # Workers draw their own numbers: another number of them is another training.
    assert first["losses"][0] != facts["own/resumed/files"]["losses"][0]


def test_a_training_on_originals_reports_every_epoch_and_how_long_it_waited_for_data(answers: Answers) -> None:
    metrics = answers.facts["own/metrics"]
    assert [epoch["epoch"] for epoch in metrics] == [1, 2]
    for epoch in metrics:
        assert 0 < epoch["data_seconds"] < epoch["train_seconds"]
