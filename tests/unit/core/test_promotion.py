"""Promotion copies what was verified and replaces only what it fits; rollback goes back by going on."""

from pathlib import Path
from typing import Any

import pytest

from core import promotion
from core.errors import InvalidInputError, NotFoundError, WrongStateError
from core.promotion import Evidence, Promotion
from core.repository import ModelRepository
from core.schemas.data import ImageSpec
from core.schemas.scores import Calibration, Operating, Temperature
from tests.unit.serving import published

CANDIDATE = "digits-matched-keras-s0-onnx"
NAME = "digits"


@pytest.fixture
def candidates(tmp_path: Path) -> ModelRepository:
    return ModelRepository(tmp_path / "models")


@pytest.fixture
def production(tmp_path: Path) -> ModelRepository:
    return ModelRepository(tmp_path / "production")


def publish(repository: ModelRepository, content: str, **changes: Any) -> None:
    published.publish(repository.root, CANDIDATE, published.linear(published.weights()), content.encode(), **changes)


def promote(candidates: ModelRepository, production: ModelRepository, **options: Any) -> Promotion:
    return promotion.promote(candidates, CANDIDATE, options.pop("version", None), production, NAME, **options)


def content(production: ModelRepository) -> str:
    """Of the newest version, which must be whole."""
    version = production.latest(NAME)
    production.verify(NAME, version)
    return production.model_path(NAME, version).read_text()


def test_a_promoted_model_is_the_candidate_under_its_new_name_and_number(candidates, production):
    publish(candidates, "a")
    done = promote(candidates, production)
    old, new = candidates.artifact(CANDIDATE, 1), production.artifact(NAME, 1)
    assert done.published
    assert new == done.artifact
    assert (new.name, new.version, new.digest) == (NAME, 1, old.digest)
    assert new.origin is not None
    assert (new.origin.action, new.origin.name, new.origin.version) == ("promote", CANDIDATE, 1)
    assert f'name: "{NAME}"' in (production.root / NAME / "config.pbtxt").read_text()
    assert old.origin is None
    candidates.verify(CANDIDATE, 1)


def test_numbers_grow_in_production_whatever_version_a_candidate_has(candidates, production):
    for text in "ab":
        publish(candidates, text)
    promote(candidates, production, version=2)
    promote(candidates, production, version=1)
    assert production.versions(NAME) == [1, 2]
    assert content(production) == "a"


def test_promoting_the_same_content_again_publishes_nothing(candidates, production):
    publish(candidates, "a")
    promote(candidates, production)
    again = promote(candidates, production)
    assert not again.published
    assert again.artifact.version == 1
    assert production.versions(NAME) == [1]


def test_promoting_the_same_content_again_repairs_a_damaged_version(candidates, production):
    publish(candidates, "a")
    promote(candidates, production)
    production.model_path(NAME, 1).write_text("damaged")
    assert promote(candidates, production).artifact.version == 2
    assert content(production) == "a"


def test_a_damaged_candidate_is_refused_even_by_force(candidates, production):
    publish(candidates, "a")
    candidates.model_path(CANDIDATE, 1).write_text("b")
    with pytest.raises(InvalidInputError, match=r"model\.onnx has sha256 .*changed or damaged"):
        promote(candidates, production, force=True)
    assert production.models() == []


def test_what_changes_while_it_is_copied_is_not_published(candidates, production, monkeypatch):
    publish(candidates, "a")
    copytree = promotion.shutil.copytree

    def racing(source: Path, target: Path, *arguments: Any, **options: Any) -> None:
        copytree(source, target, *arguments, **options)
        model = Path(target) / "model.onnx"
        if model.is_file():
            model.write_text("b")

    monkeypatch.setattr(promotion.shutil, "copytree", racing)
    with pytest.raises(InvalidInputError, match="changed while it was copied"):
        promote(candidates, production)
    assert production.models() == []
    assert [path.name for path in production.root.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"classes": ("one", "zero", "two")}, "classes"),
        ({"preprocess": ImageSpec(height=6, width=5, color="grey", geometry="pad")}, "preprocess"),
        ({"format_name": "keras"}, "format"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_clients_would_notice_needs_force(candidates, production, changes, what):
    publish(candidates, "a")
    promote(candidates, production)
    publish(candidates, "b", **changes)
    with pytest.raises(WrongStateError, match=f"has {what} .*force"):
        promote(candidates, production)
    assert production.versions(NAME) == [1]
    assert promote(candidates, production, force=True).artifact.version == 2


def test_unknown_candidates_and_impossible_names_are_refused(candidates, production):
    with pytest.raises(NotFoundError, match="no model"):
        promote(candidates, production)
    publish(candidates, "a")
    with pytest.raises(NotFoundError, match=r"no version 7 .*versions: 1"):
        promote(candidates, production, version=7)
    with pytest.raises(InvalidInputError, match="'No Name' is no model name"):
        promotion.promote(candidates, CANDIDATE, None, production, "No Name")


def test_an_edited_configuration_outlives_promotions_until_the_signature_changes(candidates, production):
    publish(candidates, "a")
    promote(candidates, production)
    path = production.root / NAME / "config.pbtxt"
    path.write_text(path.read_text() + "version_policy { all { } }\n")
    publish(candidates, "b")
    promote(candidates, production)
    assert "version_policy" in path.read_text()
    publish(candidates, "c", classes=("one", "zero", "two"))
    promote(candidates, production, force=True)
    assert "version_policy" not in path.read_text()


def test_rollback_publishes_the_content_before_as_the_next_version(candidates, production):
    for text in "ab":
        publish(candidates, text)
        promote(candidates, production)
    done = promotion.rollback(production, NAME)
    assert (done.artifact.version, content(production)) == (3, "a")
    assert done.artifact.origin is not None
    assert (done.artifact.origin.action, done.artifact.origin.name, done.artifact.origin.version) == (
        "rollback", NAME, 1,
    )  # fmt: skip


def test_rolling_back_twice_goes_two_promotions_back_and_not_forth_again(candidates, production):
    for text in "abc":
        publish(candidates, text)
        promote(candidates, production)
    promotion.rollback(production, NAME)
    assert content(production) == "b"
    promotion.rollback(production, NAME)
    assert content(production) == "a"
    with pytest.raises(NotFoundError, match="no earlier content"):
        promotion.rollback(production, NAME)


def test_a_promotion_after_a_rollback_is_undone_by_the_next_rollback(candidates, production):
    for text in "ab":
        publish(candidates, text)
        promote(candidates, production)
    promotion.rollback(production, NAME)
    publish(candidates, "c")
    promote(candidates, production)
    promotion.rollback(production, NAME)
    assert content(production) == "a"


def test_rollback_to_a_version_brings_back_that_one(candidates, production):
    for text in "abc":
        publish(candidates, text)
        promote(candidates, production)
    assert promotion.rollback(production, NAME, to=1).artifact.version == 4
    assert content(production) == "a"
    assert not promotion.rollback(production, NAME, to=1).published
    with pytest.raises(NotFoundError, match="no version 9"):
        promotion.rollback(production, NAME, to=9)


def test_a_damaged_version_is_not_rolled_back_to(candidates, production):
    for text in "ab":
        publish(candidates, text)
        promote(candidates, production)
    production.model_path(NAME, 1).write_text("damaged")
    with pytest.raises(InvalidInputError, match="changed or damaged"):
        promotion.rollback(production, NAME)
    assert production.versions(NAME) == [1, 2]


OPERATING = Operating(
    images=20,
    temperature=Temperature(
        value=1.5, log_loss=0.2, brier=0.1, calibration=Calibration(error=0.01, width=1 / 15, bins=())
    ),
)


def test_card_and_temperature_go_along_beside_the_artefact_and_leave_its_digest_alone(candidates, production):
    publish(candidates, "a")
    done = promote(candidates, production, evidence=Evidence("# A card\n", OPERATING))
    folder = production.path(NAME, 1)
    assert (folder / "card.md").read_text() == "# A card\n"
    assert production.verify(NAME, 1).operating == OPERATING
    assert done.artifact.digest == candidates.artifact(CANDIDATE, 1).digest
    assert candidates.artifact(CANDIDATE, 1).operating is None


def test_a_rollback_brings_card_and_temperature_back(candidates, production):
    publish(candidates, "a")
    promote(candidates, production, evidence=Evidence("# First\n", OPERATING))
    publish(candidates, "b")
    promote(candidates, production, evidence=Evidence("# Second\n"))
    assert production.artifact(NAME, 2).operating is None
    back = promotion.rollback(production, NAME)
    assert back.artifact.operating == OPERATING
    assert (production.path(NAME, 3) / "card.md").read_text() == "# First\n"


def test_the_same_bytes_with_another_threshold_are_another_version(candidates, production):
    publish(candidates, "a")
    promote(candidates, production)
    assert promote(candidates, production, evidence=Evidence(operating=OPERATING)).published
    assert not promote(candidates, production, evidence=Evidence(operating=OPERATING)).published
