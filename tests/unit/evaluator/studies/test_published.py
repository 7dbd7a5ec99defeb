"""The experiment files against what the studies say: written here once more, so that a number lowered there is seen."""

from pathlib import Path

import pytest

from core.schemas.study import Claim, Side, Study
from evaluator.studies.chapter import Chapter
from evaluator.studies.results import chapters
from services.orchestrator.experiment_file import load_yaml, read_experiment
from tools.studies import committed_files

ROOT = Path(__file__).parents[4]
EXPERIMENTS, RESULTS = ROOT / "experiments", ROOT / "docs" / "results"
OPEN = None
"""Epochs that a study does not name."""

IMAGES = {"s1-asl": 77_000, "s1-asl-pretrained": 77_000, "s2-mnist": 60_000, "s3-chest-xray": 5_216}
IMAGES |= {"s4-cats-dogs": 8_000, "s5-cifar10": 50_000}
"""Training images. S3: 1,341 normal and 3,875 with pneumonia; S4: four fifths of more than 10,000."""

EPOCHS: dict[str, dict[str, int | None]] = {
    "s1-asl": {"keras cnn": 2, "keras softmax": 2, "fastai cnn": 2, "fastai strided": 10, "fastai resblock": OPEN},
    "s1-asl-pretrained": {"fastai pretrained": OPEN},
    "s2-mnist": {"keras cnn": OPEN, "keras dense": OPEN, "pytorch cnn": 4},
    "s3-chest-xray": {"keras": OPEN, "pytorch": OPEN, "pytorch weighted": OPEN},
    "s4-cats-dogs": {"keras": OPEN, "keras generator": OPEN, "tensorflow": OPEN},
    "s5-cifar10": {"keras plain": 50, "keras augmented": 50, "pytorch plain": 50, "pytorch augmented": 50},
}
"""By framework and arm without its mode. fastai trains S1's Keras net here only, as long as Keras does."""
OURS = {"s1-asl": 10, "s1-asl-pretrained": 5, "s2-mnist": 4, "s3-chest-xray": 12, "s4-cats-dogs": 15}
"""Epochs of the full size where the study names none."""

PUBLISHED = {
    "s1-asl": {"keras cnn": {0.9801}, "fastai strided": {0.1379}},
    "s1-asl-pretrained": {"fastai pretrained": {0.9998}},
    "s2-mnist": {"keras cnn": {0.9869}, "keras dense": {0.979}, "pytorch cnn": {0.975}},
    "s3-chest-xray": {"keras": {0.91, 0.96, 0.84, 0.9643}, "pytorch weighted": {0.85, 0.95}},
    "s4-cats-dogs": {"keras generator": {0.8305}, "tensorflow": {0.843}},
    "s5-cifar10": {"keras plain": {0.9, 900.0}, "pytorch augmented": {0.7, 6600.0}},
}
"""Accuracies, recalls and seconds. Above 95 %, above 90 %, above 85 % and 70 to 75 % are bounds."""
BOUNDS = {0.85, 0.9, 0.7, 0.95}


def study(name: str) -> Study:
    found = read_experiment(EXPERIMENTS / f"{name}.yaml").study
    assert found
    return found


def sides(of: Study) -> list[tuple[str, Side]]:
    """Each side that something is trained for, with the name its framework and arm have here."""
    found = [side for claim in of.claims for side in claim.sides if side.arms]
    return [(f"{side.framework} {_bare(side.arms[0])}".strip(), side) for side in found]


def _bare(arm: str) -> str:
    return f"-{arm}".removesuffix("-idiomatic").removeprefix("-")


@pytest.mark.parametrize("name", IMAGES)
def test_every_experiment_that_repeats_a_study_asks_for_the_studys_images_and_epochs(name: str) -> None:
    of = study(name)
    assert of.images == IMAGES[name]
    found: dict[str, int | None] = {}
    for side, one in sides(of):
        epochs = one.epochs if of.names_epochs(one) else OPEN
        assert found.setdefault(side, epochs) == epochs, f"{side}: the same in every claim"
        if epochs is OPEN:
            assert one.epochs == OURS[name]
    assert found == EPOCHS[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_figure_is_the_studys(name: str) -> None:
    found: dict[str, set[float]] = {}
    for side, one in sides(study(name)):
        if one.published is not None:
            found.setdefault(side, set()).add(one.published)
            assert one.bound == (one.published in BOUNDS)
    assert found == PUBLISHED[name]


@pytest.mark.parametrize("one", chapters(RESULTS, committed_files(RESULTS)), ids=lambda one: one.name)
def test_every_kept_result_is_held_against_the_studys_images_and_epochs(one: Chapter) -> None:
    """Also one that was overridden, and so keeps the claims it ran with."""
    name = one.experiment.name
    assert one.study.images == IMAGES[name]
    asked = {(side.partition(" ")[0], epochs or OURS[name]) for side, epochs in EPOCHS[name].items()}
    assert {(side.framework, side.epochs) for _, side in sides(one.study)} <= asked


def test_every_file_of_a_study_is_among_these() -> None:
    files = {path.stem for path in EXPERIMENTS.glob("*.yaml") if read_experiment(path).study}
    assert files == IMAGES.keys() == EPOCHS.keys() == PUBLISHED.keys()


@pytest.mark.parametrize("name", IMAGES)
def test_a_claim_stands_for_one_of_the_study_between_the_same_frameworks(name: str) -> None:
    claims = {claim.text: claim for claim in study(name).claims}
    for claim in claims.values():
        if claim.stands_for is not None:
            assert _frameworks(claims[claim.stands_for]) == _frameworks(claim)


@pytest.mark.parametrize("name", IMAGES)
def test_no_scale_loses_the_published_difference_of_a_claim_that_it_keeps(name: str) -> None:
    """A scale leaves claims out whose arms it does not train; another one may stand for them."""
    whole = study(name)
    scales = load_yaml(EXPERIMENTS / f"{name}.yaml", "safe").get("scales", {})
    gaps = {claim.text: whole.gap_for(claim) for claim in whole.claims}
    for scale in scales:
        some = read_experiment(EXPERIMENTS / f"{name}.yaml", scale=scale).study
        assert some is not None
        assert {claim.text: some.gap_for(claim) for claim in some.claims}.items() <= gaps.items(), scale


def _frameworks(claim: Claim) -> list[str]:
    return [side.framework for side in claim.sides]
