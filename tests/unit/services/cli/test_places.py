"""Where the command and the trainers have models: folders or URLs."""

from pathlib import Path

import pytest

from core.mirror import MirroredRepository
from services.cli.context import Home
from services.rpc.settings import load
from services.trainer.settings import TrainerSettings

URL = "memory://places/models"


def test_models_are_in_the_home_folder_unless_a_folder_or_a_url_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    home = Home(home=Path("home"))
    assert (home.models, home.open_production().place) == (f"{tmp_path}/home/models", f"{tmp_path}/home/production")
    monkeypatch.setenv("BAKEOFF_REPOSITORY", "elsewhere")
    monkeypatch.setenv("BAKEOFF_PRODUCTION", URL)
    home = Home(home=Path("home"))
    assert home.models == f"{tmp_path}/elsewhere"
    production = home.open_production()
    assert isinstance(production, MirroredRepository)
    assert (production.place, production.models()) == (URL, [])
    assert production.root.is_relative_to(tmp_path / "home/cache")


def test_a_trainer_says_at_its_start_that_it_cannot_publish_to_a_url(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--framework", "keras", "--store", str(tmp_path), "--runs", str(tmp_path), "--cache", str(tmp_path)]
    assert load(TrainerSettings, "train", [*words, "--repository", URL]).repository == URL
    with pytest.raises(SystemExit):
        load(TrainerSettings, "train", [*words, "--repository", "nowhere://bucket/models"])
    told = "--repository nowhere://bucket/models cannot be written here: Protocol not known: nowhere"
    assert told in capsys.readouterr().err
